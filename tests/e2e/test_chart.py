"""The chart on a real cluster: what it installs and leaves, what its accounts may, whom its pods can reach.

Everything is installed by somebody who is administrator of one namespace and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.chart_lab import (
    CHART,
    PORT,
    S3_PORT,
    SECRET,
    Lab,
    image,
    kubectl,
    rights,
    run,
)
from tests.helm.charts import documented_rights, quota_example

pytestmark = pytest.mark.e2e

HELMS = ("helm", "helm3")
SETTINGS = ("get", "configmap", "fingpt-jobs", "-o", "jsonpath={.data.region}", "-n")
METADATA = "169.254.169.254:80"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two namespaces of this module's own, deleted afterwards."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster; these tests need a real one.")
    lab = Lab()
    lab.open()
    yield lab
    lab.close()


@pytest.fixture
def vacant(lab: Lab) -> Iterator[Lab]:
    """No release before the test and, however it ends, none after it."""
    yield lab
    lab.uninstall("helm", "--ignore-not-found")


@pytest.fixture
def installed(lab: Lab) -> Iterator[Lab]:
    """The chart with a person as its user, gone after the test."""
    lab.install(
        "helm", "--set", "users[0].kind=User,users[0].name=quant,queue.name=line,nodes.enabled=true"
    )
    yield lab
    lab.uninstall("helm")


@pytest.fixture(scope="module")
def network(lab: Lab) -> Iterator[Lab]:
    """The chart, an S3 server, pods labelled as each kind of Job's, and a bystander without labels of ours."""
    hub = json.dumps([{"podSelector": {"matchLabels": {"role": "hub"}}}])
    words = (
        "--set-json",
        f"networkPolicy.hub={json.dumps({'to': json.loads(hub), 'ports': [PORT]})}",
    )
    lab.install("helm", *words)
    lab.serve_s3()
    ours = {"app.kubernetes.io/name": "fingpt-jobs"}
    kinds = ("prep", "train", "eval", "drive", "mirror")
    labels = {kind: {**ours, "app.kubernetes.io/component": kind} for kind in kinds}
    lab.start({**labels, "bystander": {}, "hub": {"role": "hub"}})
    yield lab
    kubectl("delete", "pod", "--all", "-n", lab.name, "--wait")
    lab.uninstall("helm")


def api_server() -> str:
    """One address of the API server, as pods reach it behind its Service."""
    kind = "endpointslices.discovery.k8s.io"
    slices = json.loads(kubectl("get", kind, "kubernetes", "-n", "default", "-o", "json"))
    return f"{slices['endpoints'][0]['addresses'][0]}:{slices['ports'][0]['port']}"


@pytest.mark.part3
@pytest.mark.parametrize("values", ["minimal", "full"])
@pytest.mark.parametrize("helm", HELMS)
def test_every_object_is_accepted_by_the_server_without_a_warning(lab, helm, values):
    file = str(CHART / "ci" / f"{values}-values.yaml")
    done = run(
        helm,
        "template",
        "fingpt",
        str(CHART),
        "-n",
        lab.name,
        "-f",
        file,
        "--kube-version",
        "1.35.0",
    )
    assert done.returncode == 0, done.stderr
    kueue = run("kubectl", "get", "crd", "localqueues.kueue.x-k8s.io").returncode == 0
    for each in yaml.safe_load_all(done.stdout):
        if each["kind"] == "LocalQueue" and not kueue:
            continue  # this cluster has no Kueue and does not know the kind
        words = ("apply", "-n", lab.name, "--dry-run=server", "--validate=strict", "-f", "-")
        answer = run("kubectl", *words, stdin=yaml.safe_dump(each))
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr == "", "the API server warns"
        if each["kind"] == "Job":  # Pod Security refuses pods and only warns about Jobs
            alone = {**each["spec"]["template"], "apiVersion": "v1", "kind": "Pod"}
            alone["metadata"] = {**alone["metadata"], "name": "alone"}
            installed_account = {**alone["spec"], "serviceAccountName": "default"}
            pod = yaml.safe_dump({**alone, "spec": installed_account})
            kubectl("apply", "-n", lab.name, "--dry-run=server", "-f", "-", stdin=pod)


@pytest.mark.part3
@pytest.mark.parametrize("helm", HELMS)
def test_install_upgrade_and_uninstall_leave_nothing(vacant, helm):
    before = vacant.everything()
    notes = vacant.install(helm)
    assert f"helm test fingpt -n {vacant.name}" in notes
    assert "kubectl create secret generic fingpt-s3" in notes
    assert f"kubectl label namespace {vacant.name} pod-security.kubernetes.io/enforce" in notes
    installed = vacant.everything()
    names = {name for name in installed - before if "secret/sh.helm.release" not in name}
    assert {name.split("/")[1] for name in names} == {
        *("fingpt-jobs", "fingpt-stage", "fingpt-drive", "fingpt-user"),
        *("fingpt-default-deny", "fingpt-dns", "fingpt-store", "fingpt-api", "fingpt-hub"),
    }
    for region in ("eu-central-1", "eu-central-1"):  # the second changes nothing and must not mind
        done = vacant.helm(helm, "upgrade", *vacant.values, "--set", f"store.region={region}")
        assert done.returncode == 0, done.stderr
        assert kubectl(*SETTINGS, vacant.name) == region
    off = vacant.helm(helm, "upgrade", *vacant.values, "--set", "networkPolicy.enabled=false")
    assert off.returncode == 0, off.stderr
    assert not [name for name in vacant.everything() if "networkpolicy" in name]
    vacant.uninstall(helm)
    assert vacant.everything() == before


@pytest.mark.part3
def test_an_upgrade_by_the_other_helm_works(vacant):
    vacant.install("helm3")
    done = vacant.helm("helm", "upgrade", *vacant.values, "--set", "store.region=eu-west-1")
    assert done.returncode == 0, done.stderr
    assert kubectl(*SETTINGS, vacant.name) == "eu-west-1"


@pytest.mark.core
def test_a_second_installation_in_the_namespace_is_refused(installed):
    where = ("-n", installed.name, *installed.values)
    done = run("helm", "install", "another", str(CHART), *where)
    assert done.returncode != 0
    assert "fingpt" in done.stderr
    assert "another" not in run("helm", "list", "--all-namespaces", "-q").stdout.split()


@pytest.mark.core
@pytest.mark.parametrize(
    ("account", "who"),
    [
        ("fingpt-stage", "system:serviceaccount:{}:fingpt-stage"),
        ("fingpt-drive", "system:serviceaccount:{}:fingpt-drive"),
        ("fingpt-user", "quant"),
    ],
)
def test_an_account_may_do_what_the_document_says_and_nothing_else(installed, account, who):
    groups = ["--as-group=system:authenticated"]
    if account != "fingpt-user":
        groups += [
            "--as-group=system:serviceaccounts",
            f"--as-group=system:serviceaccounts:{installed.name}",
        ]
    everybody = rights(installed.name, "--as=nobody", *groups)
    mine = rights(installed.name, f"--as={who.format(installed.name)}", *groups)
    assert everybody <= mine
    assert mine - everybody == documented_rights(installed.name)[account]


@pytest.mark.core
@pytest.mark.parametrize("account", ["fingpt-stage", "fingpt-drive", "fingpt-user"])
def test_nobody_reads_secrets_opens_shells_or_leaves_the_namespace(installed, account):
    user = f"system:serviceaccount:{installed.name}:{account}"
    who = f"--as={'quant' if account == 'fingpt-user' else user}"
    denied = [
        *(("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec")),
        *(("patch", "jobs"), ("update", "jobs"), ("list", "nodes"), ("create", "roles")),
        *(("get", "configmaps/kube-root-ca.crt"), ("create", "serviceaccounts/token")),
    ]
    for verb, what in denied:
        answer = run("kubectl", "auth", "can-i", verb, what, who, "-n", installed.name)
        assert answer.stdout.strip() == "no", f"{verb} {what}: {answer.stdout}{answer.stderr}"
    elsewhere = run("kubectl", "auth", "can-i", "list", "jobs", who, "-n", "default")
    assert elsewhere.stdout.strip() == "no"


@pytest.mark.core
def test_a_user_may_look_at_the_own_namespace_and_at_no_other(installed):
    label = "pod-security\\.kubernetes\\.io/enforce"
    words = ("get", "namespace", "--as=quant", "-o", f"jsonpath={{.metadata.labels.{label}}}")
    assert kubectl(*words, installed.name) == "restricted"
    for more in (installed.storage, "default"):
        assert "forbidden" in run("kubectl", *words, more).stderr
    for verb in ("list", "patch", "delete"):
        may = run(
            "kubectl", "auth", "can-i", verb, "namespaces", "--as=quant", "-n", installed.name
        )
        assert may.stdout.strip() == "no", verb


@pytest.mark.part3
@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "128.0.0.0/1", "172.0.0.0/8", "::/0", "fe00::/7"])
@pytest.mark.parametrize("given", [{}, {"except": []}])
def test_the_server_takes_every_wide_block_with_its_exceptions(lab, cidr, given):
    peers = json.dumps([{"ipBlock": {"cidr": cidr, **given}}])
    words = ("-n", lab.name, *lab.values, "--set-json", f"networkPolicy.store.to={peers}")
    template = ("template", "fingpt", str(CHART), "--kube-version", "1.35.0")
    done = run("helm", *template, *words, "-s", "templates/networkpolicies.yaml")
    assert done.returncode == 0, done.stderr
    apply = ("apply", "-n", lab.name, "--dry-run=server", "--validate=strict", "-f", "-")
    answer = run("kubectl", *apply, stdin=done.stdout)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.part3
def test_the_example_of_a_quota_is_one(lab):
    quota = yaml.safe_dump(quota_example())
    words = ("apply", "-n", lab.name, "--dry-run=server", "--validate=strict", "-f", "-")
    answer = run("kubectl", *words, stdin=quota)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.part3
@pytest.mark.parametrize("helm", HELMS)
def test_helm_test_runs_doctor_in_the_cluster_and_leaves_nothing(vacant, helm):
    prep = image("FINGPT_E2E_PREP")
    vacant.serve_s3()
    ready = ("--for=condition=Ready", "pod/s3", "--timeout=120s")
    kubectl("wait", "-n", vacant.storage, *ready)
    vacant.install(helm, "--set", f"images.prep={prep},images.train={prep},images.eval={prep}")
    before = vacant.everything()
    done = vacant.helm(helm, "test")
    print(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    kubectl("wait", "-n", vacant.name, "--for=delete", "job/fingpt-doctor", "--timeout=60s")
    kubectl(
        "wait",
        "-n",
        vacant.name,
        "--for=delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=fingpt-doctor",
    )
    assert vacant.everything() == before


@pytest.mark.part3
def test_what_a_failed_doctor_found_can_be_read_for_a_while(vacant):
    prep = image("FINGPT_E2E_PREP")
    vacant.serve_s3()
    vacant.install("helm", "--set", f"images.prep={prep},store.uri=s3://there-is-no-such-bucket")
    done = vacant.helm("helm", "test")
    assert done.returncode != 0
    job = ("job/fingpt-doctor", "-n", vacant.name)
    said = kubectl("logs", *job)
    print(said)
    assert "there-is-no-such-bucket" in said
    life = kubectl("get", *job, "-o", "jsonpath={.spec.ttlSecondsAfterFinished}")
    assert int(life) <= 600
    kubectl("delete", *job, "--wait")


@pytest.mark.core
@pytest.mark.parametrize("stage", ["prep", "train", "eval"])
def test_a_stages_pod_reaches_s3_and_nothing_else(network, stage):
    s3 = f"s3.{network.storage}.svc:{S3_PORT}"
    others = (
        "kubernetes.default.svc:443",
        api_server(),
        f"{network.address('bystander')}:{PORT}",
        f"{network.address('hub')}:{PORT}",
        f"{network.address('drive')}:{PORT}",
    )
    # All of them are there: a pod that no policy selects reaches what is not itself protected.
    open_to_others = network.connects("bystander", s3, *others[:4])
    assert set(open_to_others.values()) == {True}, open_to_others
    seen = network.connects(stage, s3, *others, METADATA)
    print(f"{stage}: {seen}")
    assert seen == {s3: True, **dict.fromkeys((*others, METADATA), False)}


@pytest.mark.core
def test_drive_reaches_the_api_server_and_mirror_the_hub(network):
    s3 = f"s3.{network.storage}.svc:{S3_PORT}"
    hub, bystander = (f"{network.address(name)}:{PORT}" for name in ("hub", "bystander"))
    targets = (s3, api_server(), "kubernetes.default.svc:443", hub, bystander)
    drive, mirror = (network.connects(name, *targets) for name in ("drive", "mirror"))
    print(f"drive: {drive}\nmirror: {mirror}")
    assert list(drive.values()) == [True, True, True, False, False]
    assert list(mirror.values()) == [True, False, False, True, False]


@pytest.mark.core
def test_nobody_reaches_a_pod_of_ours(network):
    kinds = ("prep", "train", "eval", "drive", "mirror")
    targets = [f"{network.address(name)}:{PORT}" for name in kinds]
    for name in ("bystander", "hub"):
        assert set(network.connects(name, *targets).values()) == {False}
    # They do listen: the same connection from within works.
    assert network.connects("train", f"127.0.0.1:{PORT}") == {f"127.0.0.1:{PORT}": True}


@pytest.mark.core
def test_the_policies_are_what_stops_them(network):
    """The control: without the policies the very same connections work."""
    target = f"{network.address('bystander')}:{PORT}"
    back = f"{network.address('train')}:{PORT}"
    off = network.helm("helm", "upgrade", *network.values, "--set", "networkPolicy.enabled=false")
    assert off.returncode == 0, off.stderr
    network.settle("train", target)
    network.settle("bystander", back)
    assert set(network.connects("train", api_server()).values()) == {True}
    on = network.helm("helm", "rollback", "1")
    assert on.returncode == 0, on.stderr


@pytest.mark.core
def test_a_denied_namespace_holds_pods_without_our_label_too(network):
    s3 = f"s3.{network.storage}.svc:{S3_PORT}"
    assert network.connects("bystander", s3) == {s3: True}
    revision = kubectl(
        *("get", "secret", "-n", network.name, "-l", "owner=helm,status=deployed"),
        *("-o", "jsonpath={.items[0].metadata.labels.version}"),
    )
    on = network.helm(
        "helm", "upgrade", "--reuse-values", "--set", "networkPolicy.denyNamespace=true"
    )
    assert on.returncode == 0, on.stderr
    network.settle("bystander", s3, answers=False)
    assert network.connects("train", s3) == {s3: True}
    off = network.helm("helm", "rollback", revision)
    assert off.returncode == 0, off.stderr
    network.settle("bystander", s3)


@pytest.mark.core
def test_a_planted_key_is_in_no_object_but_its_secret(network):
    kinds = "configmaps,pods,events,roles,rolebindings,serviceaccounts,networkpolicies,jobs"
    assert SECRET not in kubectl("get", kinds, "-n", network.name, "-o", "yaml")
    history = run("helm", "get", "all", "fingpt", "-n", network.name)
    assert history.returncode == 0, history.stderr
    assert SECRET not in history.stdout
