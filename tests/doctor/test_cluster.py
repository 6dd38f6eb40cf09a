"""Doctor's checks of a cluster: what a pod would wait for is known before there is a pod."""

from __future__ import annotations

import pytest

from fingpt.cluster.api.objects import Condition, NodeState, Quota
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.site import Site
from fingpt.doctor.checks import Grade, worst
from fingpt.doctor.cluster import cluster_checks
from fingpt.errors import PermissionDeniedError, SetupError
from tests.cluster.fake_cluster import FakeCluster, job_state
from tests.cluster.sites import full_site_data, run_of, site_data

BIG = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "900Gi", "nvidia.com/gpu": "8"}

LABEL_IT = (
    ": whoever may create Jobs here can create pods with more privileges than ours need | "
    "kubectl label --overwrite namespace forecasts pod-security.kubernetes.io/enforce=restricted"
)


def node(**changes) -> NodeState:
    plain = {
        "name": "gpu-1",
        "ready": True,
        "schedulable": True,
        "taints": (),
        "labels": {},
        "allocatable": BIG,
    }
    return NodeState(**{**plain, **changes})


class Changed(FakeCluster):
    """A cluster where all is well, but for what a test changes."""

    def __init__(self, **changes) -> None:
        super().__init__()
        self.of = {
            "site": Site.of(site_data()),
            "rights": set(),
            "pod_security": "restricted",
            "nodes": (node(),),
            "quotas": (),
            "secret": True,
            "queue": True,
            "jobsets": True,
            **changes,
        }

    def site(self):
        return self._give("site")

    def pod_security(self):
        return self._give("pod_security")

    def nodes(self):
        return self._give("nodes")

    def quotas(self):
        return self._give("quotas")

    def has_secret(self, name):
        return self._give("secret")

    def serves_jobsets(self):
        return self._give("jobsets")

    def has_queue(self, name):
        return self._give("queue")

    def job_snapshot(self, name):
        return JobSnapshot(job=job_state(name, Condition("Complete", True)))

    def can_i(self, verb, resource, group="", subresource=""):
        return f"{verb} {resource}" not in self.of["rights"]

    def _give(self, name):
        found = self.of[name]
        if isinstance(found, Exception):
            raise found
        return found


def checks(store="s3://bucket", settings=(), **changes):
    found = cluster_checks(Changed(**changes), lambda site: run_of("llama31", *settings), store)
    return {check.name: check for check in found}


def test_where_all_is_well_every_check_is_ok():
    found = checks()
    assert {check.grade for check in found.values()} == {Grade.OK}
    assert worst(found.values()) == 0


@pytest.mark.parametrize(
    ("changes", "name", "grade", "code", "words"),
    [
        ({"rights": {"create jobs"}}, "rights", Grade.FAIL, 77, "create jobs"),
        ({"site": SetupError("no ConfigMap")}, "settings", Grade.FAIL, 78, "no ConfigMap"),
        ({"store": "s3://other"}, "settings", Grade.WARN, 0, "STORE=s3://bucket"),
        ({"secret": False}, "Secret s3-keys", Grade.FAIL, 66, "kubectl create secret"),
        ({"rights": {"get secrets"}}, "Secret s3-keys", Grade.OK, 0, "may not read Secrets"),
        ({"pod_security": ""}, "Pod Security", Grade.WARN, 0, f"nothing{LABEL_IT}"),
        ({"pod_security": "baseline"}, "Pod Security", Grade.WARN, 0, f"only 'baseline'{LABEL_IT}"),
        ({"pod_security": "privileged"}, "Pod Security", Grade.WARN, 0, f"'privileged'{LABEL_IT}"),
        ({"pod_security": PermissionDeniedError("no")}, "Pod Security", Grade.WARN, 0, "may not"),
        ({"nodes": ()}, "nodes", Grade.FAIL, 78, "no node is ready"),
        ({"nodes": (node(ready=False),)}, "nodes", Grade.FAIL, 78, "no node is ready"),
        (
            {"nodes": (node(taints=("nvidia.com/gpu=present:NoSchedule",)),)},
            "nodes",
            Grade.FAIL,
            78,
            "nvidia.com/gpu=present:NoSchedule",
        ),
        (
            {"nodes": (node(allocatable={**BIG, "nvidia.com/gpu": "0"}),)},
            "nodes",
            Grade.FAIL,
            78,
            "1 nvidia.com/gpu (at most 0) | lower train.processes",
        ),
        (
            {"nodes": (node(allocatable={**BIG, "memory": "32Gi"}),)},
            "nodes",
            Grade.FAIL,
            78,
            "48Gi memory (at most 32Gi) | lower resources.train",
        ),
        (
            {
                "nodes": (
                    node(allocatable={**BIG, "memory": "32Gi"}),
                    node(taints=("team=quant:NoSchedule",)),
                )
            },
            "nodes",
            Grade.FAIL,
            78,
            "those that are: team=quant:NoSchedule | lower resources.train in the chart's values, or set tolerations",
        ),
        (
            {
                "nodes": (
                    node(allocatable={**BIG, "memory": "32Gi"}),
                    node(allocatable={**BIG, "memory": "32Gi"}, taints=("small=yes:NoSchedule",)),
                )
            },
            "nodes",
            Grade.FAIL,
            78,
            "48Gi memory (at most 32Gi) | lower resources.train",
        ),
        ({"nodes": PermissionDeniedError("no")}, "nodes", Grade.OK, 0, "room for train"),
        (
            {
                "quotas": (
                    Quota(
                        "gpus", {"requests.nvidia.com/gpu": "4"}, {"requests.nvidia.com/gpu": "4"}
                    ),
                )
            },
            "quota",
            Grade.WARN,
            0,
            "gpus: requests.nvidia.com/gpu 4 of 4 used",
        ),
        (
            {"quotas": (Quota("q", {"limits.memory": "64Gi", "pods": "9"}, {"pods": "1"}),)},
            "quota",
            Grade.OK,
            0,
            "leave room",
        ),
        ({"quotas": (Quota("q", {"pods": "0"}, {}),)}, "quota", Grade.FAIL, 78, "pods 0 of 0"),
        (
            {"quotas": (Quota("q", {"requests.cpu": "50m"}, {}),)},
            "quota",
            Grade.FAIL,
            78,
            "requests.cpu 0 of 50m used",
        ),
        (
            {"site": Site.of(site_data(queue="line")), "queue": False},
            "queue",
            Grade.FAIL,
            78,
            "LocalQueue line is not in namespace forecasts",
        ),
        (
            {"site": Site.of(site_data(queue="line")), "queue": None},
            "queue",
            Grade.WARN,
            0,
            "no Kueue",
        ),
    ],
)
def test_what_a_pod_would_wait_for_is_named(changes, name, grade, code, words):
    store = changes.pop("store", "s3://bucket")
    found = checks(store, **changes)
    check = found[name]
    assert (check.grade, check.code) == (grade, code)
    assert words in f"{check.message} | {check.action}"
    assert worst(found.values()) == code


def test_the_engine_is_said_by_the_gpus_that_a_pod_of_eval_asks_for():
    name = "evaluation in the cluster"
    assert "vllm where its image has it" in checks()[name].message
    tiny = cluster_checks(
        Changed(), lambda site: run_of("tiny-llama31", "eval.engine=vllm"), "s3://bucket"
    )
    (found,) = [check for check in tiny if check.name == name]
    assert (found.grade, worst([found])) == (Grade.WARN, 0)
    assert "asks for no GPU" in found.message


def test_the_settings_are_read_once():
    cluster, reads = Changed(), []
    cluster.site = lambda: reads.append("site") or Site.of(site_data())
    list(cluster_checks(cluster, lambda site: run_of("llama31"), "s3://bucket"))
    assert reads == ["site"]


def test_whoever_may_not_make_jobs_gets_no_trials():
    for lacking, names in ((set(), 4), ({"create jobs"}, 0), ({"delete jobs"}, 0)):
        cluster = Changed(rights=lacking)
        list(cluster_checks(cluster, lambda site: run_of("llama31"), "s3://bucket"))
        assert len(cluster.created) == names


def test_a_site_with_everything_is_held_against_labels_taints_and_queue():
    site = Site.of(full_site_data())
    fitting = node(
        labels={"pool": "gpu", "nvidia.com/cuda.driver.major": "580"},
        taints=("nvidia.com/gpu=:NoSchedule",),
        allocatable={**BIG, "nvidia.com/mig-3g.40gb": "4"},
    )
    good = checks("s3://bucket/forecasts", site=site, nodes=(fitting,))
    assert good["nodes"].grade is Grade.OK
    assert "driver 580" in good["nodes"].message
    bare = checks("s3://bucket/forecasts", site=site, nodes=(node(),), queue=False)
    assert "labels" in bare["nodes"].message
    assert bare["queue"].grade is Grade.FAIL


def of_several_nodes(**changes):
    """The checks of a training on two nodes of eight GPUs each."""
    return checks(settings=("train.nodes=2", "train.processes=8"), **changes)


def test_several_nodes_are_fine_where_jobset_and_room_are_there():
    found = of_several_nodes(nodes=(node(), node(name="gpu-2")))
    assert {check.grade for check in found.values()} == {Grade.OK}
    assert "JobSet" in found
    assert "JobSet" not in checks()


@pytest.mark.parametrize(
    ("changes", "name", "code", "words"),
    [
        ({"jobsets": False}, "JobSet", 78, "does not serve jobset.x-k8s.io/v1alpha2"),
        ({"jobsets": False}, "JobSet", 78, "kubectl apply --server-side -f https://"),
        ({"rights": {"create jobsets"}}, "JobSet", 77, "nodes.enabled=true"),
        ({"nodes": (node(),)}, "nodes", 78, "train.nodes=2 pods of"),
        ({"nodes": (node(),)}, "nodes", 78, "room for 1 if they were empty"),
        (
            {"quotas": (Quota("q", {"requests.nvidia.com/gpu": "8"}, {}),)},
            "quota",
            78,
            "larger than a quota allows",
        ),
    ],
)
def test_what_several_nodes_lack_is_named(changes, name, code, words):
    found = of_several_nodes(**{"nodes": (node(), node(name="gpu-2")), **changes})
    check = found[name]
    assert (check.grade, check.code) == (Grade.FAIL, code)
    assert words in f"{check.message} | {check.action}"


def test_pods_of_several_nodes_may_share_a_large_machine():
    found = checks(settings=("train.nodes=2",), nodes=(node(),))
    assert found["nodes"].grade is Grade.OK
