"""What a training on several nodes adds to its Job: the JobSet around it, its names, and what its pods are told.

Pure. A JobSet holds one Job with a pod per node, so that whatever fails a pod fails them all, and the JobSet restarts
them together; k8s/train-nodes.yaml says how. What its states mean is diagnosis/'s affair.
"""

from __future__ import annotations

from typing import Any

from fingpt.errors import ConfigError
from fingpt.runs.run import Run, Stage

KIND = "JobSet"
GROUP, VERSION, PLURAL = "jobset.x-k8s.io", "v1alpha2", "jobsets"
CRD = f"{PLURAL}.{GROUP}"
INSTALL = "kubectl apply --server-side -f https://github.com/kubernetes-sigs/jobset/releases/download/v0.10.1/manifests.yaml"
"""How an administrator installs the controller, once per cluster; 0.10 is the oldest release that reads our rules."""

NODES = "fingpt-jobs/nodes"
"""A label of these pods alone, by which the chart's network policy lets them reach one another."""

_JOB = "node"
_MAX_NAME = 63 - len(f"-{_JOB}-0-999-abcde")  # what JobSet and Job put behind it for a pod


def template_name(run: Run, stage_name: str) -> str:
    """The file in k8s/ that the Job of a stage is made from."""
    several = stage_name == Stage.TRAIN and run.config.train.nodes > 1
    return f"{stage_name}-nodes" if several else stage_name


def is_jobset(job: dict[str, Any]) -> bool:
    """Whether an object is a JobSet, not a Job."""
    return bool(job.get("kind") == KIND)


def job_spec(job: dict[str, Any]) -> dict[str, Any]:
    """The `spec` of the Job that makes the pods: the object's own, or that of the Job within a JobSet."""
    spec: dict[str, Any] = job["spec"]
    if is_jobset(job):
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return spec


def child_job(name: str) -> str:
    """The name of the Job within the JobSet `name`."""
    return f"{name}-{_JOB}-0"


def set_nodes(jobset: dict[str, Any], run: Run) -> None:
    """One pod per node, which knows how many there are and where the first one is; ConfigError for a long name."""
    name, train = jobset["metadata"]["name"], run.config.train
    if len(name) > _MAX_NAME:
        raise ConfigError(
            f"JobSet name '{name}' has {len(name)} characters, and its pods' names need 17 of 63 more; shorten the "
            "name of the model's configuration."
        )
    spec = job_spec(jobset)
    spec["completions"] = spec["parallelism"] = train.nodes
    spec["template"]["metadata"]["labels"][NODES] = str(train.nodes)
    told = {
        "NNODES": str(train.nodes),
        "NPROC_PER_NODE": str(train.processes),
        "MASTER_ADDR": f"{child_job(name)}-0.{name}",
    }
    for variable in spec["template"]["spec"]["containers"][0]["env"]:
        if variable["name"] in told:
            variable["value"] = told[variable["name"]]
