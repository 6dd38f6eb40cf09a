"""Checks of the cluster: permissions, settings, Secrets, queue, nodes, quota, and the Jobs of trials.py.

Creates nothing but those Jobs, and only where the user may. A line says what the user may not read.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from fingpt.cluster.api.faults import no_jobset_kind
from fingpt.cluster.api.objects import POD_SECURITY, NodeState, Quota, parse_quantity
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import build_job, gpu_count, load_template
from fingpt.cluster.jobset import GROUP, PLURAL, VERSION
from fingpt.cluster.site import Site
from fingpt.doctor.checks import Check, Grade, failed, passed
from fingpt.doctor.evaluation import pods_check
from fingpt.doctor.trials import ROOM, run_trials, trials
from fingpt.errors import FingptError, MissingInputError, PermissionDeniedError, SetupError
from fingpt.runs.run import Run, Stage

RIGHTS = (
    ("create", "jobs", "batch", ""),
    ("get", "jobs", "batch", ""),
    ("list", "jobs", "batch", ""),
    ("watch", "jobs", "batch", ""),
    ("delete", "jobs", "batch", ""),
    ("list", "pods", "", ""),
    ("get", "pods", "", "log"),
    ("list", "events", "", ""),
)
"""What submit, status, logs and cancel need: verb, resource, API group, subresource."""

_DRIVER_LABELS = ("nvidia.com/cuda.driver-version.full", "nvidia.com/cuda.driver.major")


def cluster_checks(cluster: ClusterApi, run: Callable[[Site], Run], store: str) -> Iterator[Check]:
    """All checks of the cluster; `run` gives the run for a site's images, `store` is this command's."""
    yield passed(
        "API server", f"{cluster.where}, {cluster.version()}, namespace {cluster.namespace}"
    )
    rights = _rights(cluster)
    yield rights
    try:
        site = cluster.site()
    except FingptError as fault:
        yield failed("settings", fault)
        return
    yield _pod_security(cluster)
    yield _same_store(site, store)
    for name, key in ((site.s3_secret, "credentials"), (site.hub_secret, "token")):
        if name:
            yield _secret(cluster, name, key)
    if site.queue:
        yield _queue(cluster, site.queue)
    frozen = run(site)
    wanted, pods = _train_requests(frozen, site), frozen.config.train.nodes
    yield pods_check(frozen.config, gpu_count(frozen, Stage.EVAL, site))
    if pods > 1:
        yield _jobsets(cluster)
    for name, look in (
        ("nodes", lambda: _nodes(cluster.nodes(), site, wanted, pods)),
        ("quota", lambda: _quota(cluster.quotas(), wanted, pods)),
    ):
        unread = Check(name, Grade.OK, f"you may not list these, and need not; see '{ROOM}'")
        yield _if_allowed(unread, look)
    if rights.grade is Grade.OK:
        yield from run_trials(cluster, list(trials(frozen, site, secrets.token_hex(4))))


def _if_allowed(unread: Check, act: Callable[[], Check]) -> Check:
    """The check that `act` makes; `unread` when the user may not read what it needs."""
    try:
        return act()
    except PermissionDeniedError:
        return unread
    except FingptError as fault:
        return failed(unread.name, fault)


def _rights(cluster: ClusterApi) -> Check:
    try:
        lacking = [
            f"{verb} {resource}{f'/{sub}' if sub else ''}"
            for verb, resource, group, sub in RIGHTS
            if not cluster.can_i(verb, resource, group, sub)
        ]
    except FingptError as fault:
        return failed("rights", fault)
    if not lacking:
        return passed("rights", "all that submit, status, logs and cancel need")
    return Check(
        "rights",
        Grade.FAIL,
        f"you may not {', '.join(lacking)} in namespace {cluster.namespace}",
        "have the Role fingpt-user bound to you (users in the chart's values)",
        PermissionDeniedError.exit_code,
    )


def _pod_security(cluster: ClusterApi) -> Check:
    """Whether the API server refuses privileged pods here, whoever creates them."""

    def look() -> Check:
        level = cluster.pod_security()
        if level == "restricted":
            return passed("Pod Security", "the namespace enforces 'restricted'")
        why = (
            f"the namespace enforces only '{level}'" if level else "the namespace enforces nothing"
        )
        return Check(
            "Pod Security",
            Grade.WARN,
            f"{why}: whoever may create Jobs here can create pods with more privileges than ours need",
            f"kubectl label --overwrite namespace {cluster.namespace} {POD_SECURITY}=restricted",
        )

    unread = "you may not read the namespace's labels"
    return _if_allowed(
        Check("Pod Security", Grade.WARN, unread, "have the chart upgraded, it allows that"), look
    )


def _same_store(site: Site, store: str) -> Check:
    message = f"pods use {site.store}" + (f" at {site.endpoint}" if site.endpoint else "")
    if store.rstrip("/") == site.store.rstrip("/"):
        return passed("settings", message)
    return Check(
        "settings",
        Grade.WARN,
        f"{message}, this command uses {store}",
        f"submit to the cluster with STORE={site.store}",
    )


def _secret(cluster: ClusterApi, name: str, key: str) -> Check:
    title = f"Secret {name}"
    try:
        if cluster.can_i("get", "secrets") and not cluster.has_secret(name):
            command = f"kubectl create secret generic {name} -n {cluster.namespace}"
            return Check(
                title,
                Grade.FAIL,
                "is not in the namespace: pods would wait for it forever",
                f"{command} --from-file={key}=FILE",
                MissingInputError.exit_code,
            )
        if cluster.can_i("get", "secrets"):
            return passed(title, "is there")
    except FingptError as fault:
        return failed(title, fault)
    user = "make mirror" if key == "token" else "'image of prep'"
    return Check(title, Grade.OK, f"you may not read Secrets, and need not; see {user}")


def _queue(cluster: ClusterApi, name: str) -> Check:
    def look() -> Check:
        there = cluster.has_queue(name)
        if there:
            return passed("queue", f"LocalQueue {name} is there")
        if there is None:
            why = "the cluster has no Kueue, so Jobs start at once and wait in no queue"
            return Check("queue", Grade.WARN, why, f"install Kueue, or empty queue.name ({name})")
        return Check(
            "queue",
            Grade.FAIL,
            f"LocalQueue {name} is not in namespace {cluster.namespace}",
            "create it, or correct queue.name in the chart's values",
            SetupError.exit_code,
        )

    unread = "you may not read queues; status says what a Job waits for"
    return _if_allowed(Check("queue", Grade.WARN, unread), look)


def _jobsets(cluster: ClusterApi) -> Check:
    """Whether a training on several nodes can be submitted: the CRD, and the rights."""

    def look() -> Check:
        if not cluster.serves_jobsets():
            return failed("JobSet", no_jobset_kind(cluster.where))
        lacking = [
            verb
            for verb in ("create", "get", "list", "watch", "delete")
            if not cluster.can_i(verb, PLURAL, GROUP)
        ]
        if not lacking:
            return passed("JobSet", f"{GROUP}/{VERSION} is served, and you may use it")
        return Check(
            "JobSet",
            Grade.FAIL,
            f"you may not {', '.join(lacking)} {PLURAL} in namespace {cluster.namespace}",
            "have the chart upgraded with nodes.enabled=true, and the Role fingpt-user bound to you",
            PermissionDeniedError.exit_code,
        )

    return _if_allowed(Check("JobSet", Grade.WARN, "you may not ask what the cluster serves"), look)


def _train_requests(run: Run, site: Site) -> dict[str, str]:
    """What a training pod requests, of each node where there are several, which is the most of all stages."""
    job = build_job(run, "train", load_template("train"), site, "s3://bucket/runs/x/run.json")
    container: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return dict(container["resources"]["requests"])


def _nodes(nodes: tuple[NodeState, ...], site: Site, wanted: Mapping[str, str], pods: int) -> Check:
    """Whether a node could take a training pod if it were empty, or all nodes together its `pods`."""
    usable = [node for node in nodes if node.ready and node.schedulable]
    labelled = [n for n in usable if site.node_selector.items() <= dict(n.labels).items()]
    tolerated = [node for node in labelled if not _untolerated(node, site)]
    large = [node for node in tolerated if _fits(node.allocatable, wanted)]
    text = ", ".join(f"{number} {name}" for name, number in wanted.items())
    room = sum(_fitting(node.allocatable, wanted) for node in large)
    if large and room < pods:
        return Check(
            "nodes",
            Grade.FAIL,
            f"train.nodes={pods} pods of {text} each, and all nodes together have room for {room} if they were empty",
            "lower train.nodes or train.processes, or have nodes added",
            SetupError.exit_code,
        )
    if large:
        drivers = {n.labels[label] for n in large for label in _DRIVER_LABELS if label in n.labels}
        driver = f", driver {', '.join(sorted(drivers))}" if drivers else ""
        return passed("nodes", f"{len(large)} of {len(nodes)} could take train ({text}){driver}")
    if not usable:
        why, action = "no node is ready", "kubectl get nodes"
    elif not labelled:
        why, action = "no node has the labels of nodeSelector", "correct nodeSelector"
    elif not tolerated:
        why, action = f"taints keep our pods off: {_taints(labelled, site)}", "set tolerations"
    else:
        kept_off = [n for n in labelled if n not in tolerated and _fits(n.allocatable, wanted)]
        return _too_small(tolerated, wanted, _taints(kept_off, site))
    return Check("nodes", Grade.FAIL, why, f"{action} in the chart's values", SetupError.exit_code)


def _too_small(nodes: list[NodeState], wanted: Mapping[str, str], taints: str) -> Check:
    """Names the resources of which no node has enough, all of them where no single node has all, and what keeps our
    pods off nodes that would have them: `taints`, or nothing.
    """
    most = {
        name: max((node.allocatable.get(name, "0") for node in nodes), key=parse_quantity)
        for name in wanted
    }
    lacking = [name for name in wanted if parse_quantity(most[name]) < parse_quantity(wanted[name])]
    short = ", ".join(f"{wanted[name]} {name} (at most {most[name]})" for name in lacking)
    why = f"train requests {short or ', '.join(f'{n} {name}' for name, n in wanted.items())}"
    gpus = any("/" in name for name in lacking)
    lower = "train.processes" if gpus else "resources.train in the chart's values"
    return Check(
        "nodes",
        Grade.FAIL,
        f"no node is large enough: {why}"
        + (f"; taints keep our pods off those that are: {taints}" if taints else ""),
        f"lower {lower}, "
        + ("or set tolerations in the chart's values" if taints else "or have a larger node added"),
        SetupError.exit_code,
    )


def _taints(nodes: list[NodeState], site: Site) -> str:
    """The taints of these nodes that our pods do not tolerate, each once."""
    return ", ".join(sorted({taint for node in nodes for taint in _untolerated(node, site)}))


def _untolerated(node: NodeState, site: Site) -> list[str]:
    """The node's taints that our pods do not tolerate."""
    return [taint for taint in node.taints if not _tolerated(taint, site)]


def _tolerated(taint: str, site: Site) -> bool:
    rest, _, effect = taint.rpartition(":")
    key, _, value = rest.partition("=")
    if effect == "PreferNoSchedule":
        return True
    return any(
        (each.effect in (None, effect))
        and (each.key in (None, "", key))
        and (each.operator == "Exists" or (each.value or "") == value)
        for each in site.tolerations
    )


def _fits(offered: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(
        parse_quantity(offered.get(name, "0")) >= parse_quantity(text)
        for name, text in wanted.items()
    )


def _fitting(offered: Mapping[str, str], wanted: Mapping[str, str]) -> int:
    """How many such pods an empty node has room for."""
    return min(
        int(parse_quantity(offered.get(name, "0")) / parse_quantity(text))
        for name, text in wanted.items()
        if parse_quantity(text)
    )


def _quota(quotas: tuple[Quota, ...], wanted: Mapping[str, str], pods: int) -> Check:
    """Whether one more training of so many pods would fit into every quota, and if not, whether it ever could."""
    tight, never = [], False
    for quota in quotas:
        for name, hard in quota.hard.items():
            needed = Decimal({"pods": pods, "count/jobs.batch": 1}.get(name, 0))
            bare = name.removeprefix("requests.").removeprefix("limits.")
            needed = needed or pods * parse_quantity(wanted.get(bare, "0"))
            used = quota.used.get(name, "0")
            if needed and parse_quantity(used) + needed > parse_quantity(hard):
                tight.append(f"{quota.name}: {name} {used} of {hard} used")
                never = never or needed > parse_quantity(hard)
    if not tight:
        return passed("quota", f"{len(quotas)} quotas leave room for train" if quotas else "none")
    if never:
        return Check(
            "quota",
            Grade.FAIL,
            f"a pod of train is larger than a quota allows ({'; '.join(tight)})",
            "have the quota raised, or lower resources.train in the chart's values",
            SetupError.exit_code,
        )
    return Check(
        "quota",
        Grade.WARN,
        f"a pod of train would have to wait ({'; '.join(tight)})",
        "wait for other runs to end, cancel one, or have the quota raised",
    )
