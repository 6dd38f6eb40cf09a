"""What messages of the scheduler, kubelet, quota and admission mean for a run, and what a person can do about them.

Tables only. The expressions match Kubernetes' messages as recorded from a real cluster. Exit codes are in exits.py;
explain.py reads a Job's state with both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """A message that `regex` matches means `summary`; `action` is what to do. Both may use its named groups."""

    regex: re.Pattern[str]
    summary: str
    action: str


def find(table: Sequence[Pattern], message: str) -> tuple[str, str] | None:
    """Summary and action of the first row that matches `message`; a second match adds its action."""
    found = [(row, match) for row in table if (match := row.regex.search(message))]
    if not found:
        return None
    row, match = found[0]
    actions = dict.fromkeys(row.action.format(**match.groupdict()) for row, match in found[:2])
    return row.summary.format(**match.groupdict()), "; or: ".join(actions)


def _row(pattern: str, summary: str, action: str) -> Pattern:
    return Pattern(re.compile(pattern, re.IGNORECASE), summary, action)


_VALUES = "in the chart's values (helm upgrade --reuse-values), then submit again"

SCHEDULING = (
    _row(
        r'persistentvolumeclaim "(?P<name>[^"]+)" (not found|is being deleted)',
        "the volume claim {name} does not exist",
        "create it, or empty cache.claim " + _VALUES,
    ),
    _row(
        r"untolerated taint(?!.{0,3}node-role).{0,3}\{(?P<taint>[^}]+)\}",
        "a taint keeps our pods off a node ({taint})",
        "set tolerations for it " + _VALUES,
    ),
    _row(
        r"Insufficient (?P<what>[a-z0-9.-]+/[\w.-]*\w)",
        "no node has enough {what} free",
        "wait until other pods give theirs back (kubectl describe nodes | grep {what}), lower train.processes, or have "
        "a node with enough of them added",
    ),
    _row(
        r"Insufficient (?P<what>cpu|memory|ephemeral-storage)",
        "no node has enough {what} free",
        "lower resources.<stage> " + _VALUES + ", or have a larger node added",
    ),
    _row(
        r"(?=.*untolerated taint\(s\)).*didn't match Pod's node affinity",
        "no node has both the labels that the site's nodeSelector wants and no taint that keeps our pods off",
        "compare kubectl get nodes --show-labels and kubectl describe nodes | grep Taints with nodeSelector and "
        "tolerations " + _VALUES,
    ),
    _row(
        r"didn't match Pod's node affinity",
        "no node has the labels that the site's nodeSelector wants",
        "compare kubectl get nodes --show-labels with nodeSelector " + _VALUES,
    ),
    _row(
        r"untolerated taint\(?s?\)?(?! ?\{)",
        "taints keep our pods off the nodes",
        "see kubectl describe nodes | grep Taints, and set tolerations " + _VALUES,
    ),
    _row(
        r"volume node affinity conflict|unbound immediate PersistentVolumeClaims",
        "the cache's volume cannot be used where the pod could run",
        "look at kubectl describe pvc: its zone must have the GPUs, its storage class must exist",
    ),
    _row(
        r"were unschedulable|node\(s\) were not ready|had untolerated taint \{node\.kubernetes",
        "nodes are cordoned or not ready",
        "kubectl get nodes; kubectl uncordon NODE once it is well",
    ),
    _row(r"Too many pods", "the nodes run as many pods as they may", "wait, or have a node added"),
)

PULLING = (
    _row(
        r"no such host|connection refused|i/o timeout|TLS handshake|x509",
        "the node cannot reach the image's registry",
        "check the node's network and proxy (on kind: kind load docker-image), or correct images "
        + _VALUES,
    ),
    _row(
        r"unauthorized|denied|forbidden|\b40[13]\b|authentication required",
        "the registry refuses the pull",
        "check the image's name, and name a login in images.pullSecrets " + _VALUES,
    ),
    _row(
        r"toomanyrequests|rate limit|\b429\b",
        "the registry limits pulls",
        "wait, or pull with a login (images.pullSecrets) or from your own registry",
    ),
    _row(
        r"no space left",
        "the node's disk is full",
        "free it (kubectl describe node), or use another node",
    ),
    _row(
        r"not found|manifest unknown|does not exist",
        "there is no such image in the registry",
        "push it, or correct images " + _VALUES,
    ),
    _row(
        r"not present with pull policy of Never",
        "the image was not loaded into the node",
        "load it (kind load docker-image), or set images.pullPolicy=IfNotPresent " + _VALUES,
    ),
    _row(
        r"invalid reference|couldn't parse image",
        "the image's name is not valid",
        "correct images " + _VALUES,
    ),
)

CONFIGURATION = (
    _row(
        r'secret "(?P<name>[^"]+)" not found',
        "Secret {name} does not exist in the namespace",
        "create it: kubectl create secret generic {name} --from-file=credentials=FILE (hub: --from-literal=token=…); "
        "the pod then starts by itself",
    ),
    _row(
        r'configmap "(?P<name>[^"]+)" not found',
        "ConfigMap {name} does not exist in the namespace",
        "install the chart there, or create it; the pod then starts by itself",
    ),
    _row(
        r"non-existent (?P<kind>secret|config) key: ?(?P<key>\S+)|couldn't find key (?P<key2>\S+)",
        "a Secret or ConfigMap lacks a key",
        "the S3 Secret needs the key 'credentials', the hub's the key 'token'",
    ),
    _row(
        r"runAsNonRoot|image will run as root",
        "the image wants to run as root, which is not allowed",
        "use images of this project, which run as user 65532",
    ),
    _row(
        r"RuntimeHandler|no runtime for",
        "the node does not know the site's runtime class",
        "empty gpu.runtimeClass "
        + _VALUES
        + ", or install the GPU's container toolkit on the node",
    ),
    _row(
        r"Multi-Attach",
        "the cache's volume is still attached to another node",
        "wait until that pod is gone, or use a claim with ReadWriteMany",
    ),
    _row(
        r"timed out waiting|(Mount|Attach)Volume(?!.*(not found|non-existent))",
        "a volume cannot be mounted",
        "kubectl describe pod names it; check the claim and its storage class",
    ),
    _row(
        r"no such file or directory|executable file not found|exec format",
        "the image has no such program, or is for another processor",
        "use images of this version, built for the node's architecture",
    ),
)

CREATION = (
    _row(
        r"exceeded quota: (?P<name>[^,]+)",
        "the namespace's quota {name} leaves no room for the pod",
        "wait for other runs to end, cancel one, or have the quota raised; the pod then starts by itself",
    ),
    _row(
        r"failed quota: (?P<name>[^:]+)",
        "quota {name} wants limits that the pod does not state",
        "set resources.<stage> " + _VALUES,
    ),
    _row(
        r'violates PodSecurity "(?P<level>[^"]+)"',
        "Pod Security ({level}) refuses the pod",
        "the manifests in k8s/ pass 'restricted': submit unchanged ones, and see that no webhook adds to them",
    ),
    _row(
        r'service ?account "?(?P<name>[\w./-]+)"? ?(was )?not found|service account (?P<name2>[\w./-]+):',
        "the service account of our pods does not exist",
        "install the chart in this namespace: helm install fingpt helm/fingpt-jobs -n NAMESPACE",
    ),
    _row(
        r'RuntimeClass "(?P<name>[^"]+)" not found',
        "the cluster has no runtime class {name}",
        "empty gpu.runtimeClass " + _VALUES,
    ),
    _row(
        r'failed calling webhook "(?P<name>[^"]+)"',
        "the cluster asks {name} before it makes a pod, and gets no answer",
        "wait, or ask the cluster's administrator; the pod then starts by itself",
    ),
    _row(
        r'admission webhook "(?P<name>[^"]+)" denied',
        "the cluster's policy {name} refuses the pod",
        "the message says why; ask the cluster's administrator",
    ),
)

ADMISSION = (
    _row(
        r"^(?!.*insufficient unused quota).*request > maximum capacity",
        "the Job asks for more at a time than its queue can ever have",
        "use fewer GPUs at a time, or ask whoever runs Kueue for a larger quota",
    ),
    _row(
        r"LocalQueue (?P<name>\S+) (doesn't|does not) exist",
        "the queue {name} does not exist in the namespace",
        "create the LocalQueue, or correct queue.name " + _VALUES,
    ),
    _row(
        r"ClusterQueue (?P<name>\S+) (doesn't exist|does not exist|is inactive)|inactive",
        "the queue cannot admit anything",
        "ask whoever runs Kueue: kubectl get clusterqueues",
    ),
)

QUEUEING = (
    _row(
        r"insufficient|quota|flavor|waiting",
        "the queue has no room yet",
        "wait for other runs to end; the Job then starts by itself",
    ),
)

DISRUPTIONS = {
    "EvictionByEvictionAPI": "evicted, as kubectl drain does",
    "PreemptionByScheduler": "preempted by a pod of higher priority",
    "PreemptionByKueue": "preempted by a workload of higher priority",
    "DeletionByTaintManager": "its node was tainted or became unreachable",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "its node ran short of something or shut down",
}

ENDED = (
    _row(
        r"ephemeral|EmptyDir|DiskPressure",
        "the pod wrote more to its local disk than it may",
        "raise resources.<stage>.ephemeral or cache.size " + _VALUES,
    ),
    _row(
        r"low on resource|MemoryPressure",
        "the node ran short of memory",
        "another pod follows by itself",
    ),
    _row(
        r"UnexpectedAdmissionError|Allocate failed|OutOf",
        "the node took the pod but could not give it its GPU",
        "look at the GPU's device plugin on that node: kubectl get pods -A | grep device-plugin",
    ),
)
