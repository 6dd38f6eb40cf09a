"""Build the Job of a stage, drive, base weights or a forecast: the shape is of k8s/, the values are set here.

Pure but for `load_template`, which reads a file. It decides nothing about security, volumes or retries, and never talks
to a cluster; what it returns is what `DRY_RUN=1` prints and what the client sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fingpt.cluster.jobset import is_jobset, job_spec, set_nodes
from fingpt.cluster.site import Resources, Site
from fingpt.errors import ConfigError, SetupError
from fingpt.models import ModelSpec, spec
from fingpt.reading import Unreadable, parse_yaml
from fingpt.record import sha256_bytes
from fingpt.runs.raw import parse_hub
from fingpt.runs.run import Run, Stage

MANIFESTS = Path(__file__).resolve().parents[2] / "k8s"

INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MODEL = "fingpt-jobs/model"
CONFIG_SHA256 = "fingpt-jobs/config-sha256"
RUN_SHA256 = "fingpt-jobs/run-sha256"
BASE = "fingpt-jobs/base"
ROWS = "fingpt-jobs/rows"
REQUEST = "fingpt-jobs/request"
SWEEP = "fingpt-jobs/sweep"
SWEEP_SHA256 = "fingpt-jobs/sweep-sha256"
RUN_URI = "fingpt-jobs/run-uri"
PROJECT = "app.kubernetes.io/name"
QUEUE = "kueue.x-k8s.io/queue-name"

# Kubernetes puts a Job's name into a label of its pods.
MAX_NAME = 63

DRIVE, MIRROR, FORECAST, SEARCH, TRIAL = "drive", "mirror", "forecast", "sweep", "trial"
"""Components that are no stage: drive runs a run's stages, mirror gets base weights, and its `instance` is a model; a
forecast's component names its request, too (`forecast_component`). `sweep` controls a search, whose id is its
`instance`; `trial` is the Job of a model's trials (sweep_job.py).
"""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def load_template(stage_name: str, folder: Path = MANIFESTS) -> dict[str, Any]:
    """The Job, or JobSet, in `folder`/<stage>.yaml; SetupError when it is missing or is neither."""
    path = folder / f"{stage_name}.yaml"
    try:
        template = parse_yaml(path.read_text(encoding="utf-8"), aliases=True)
    except FileNotFoundError:
        raise SetupError(
            f"Manifest {path.name} is not in {folder}; the project's folder k8s/ must lie beside fingpt/."
        ) from None
    except (Unreadable, UnicodeDecodeError) as fault:
        raise SetupError(f"{path} {fault}; restore the project's own file.") from None
    if not isinstance(template, dict) or template.get("kind") not in ("Job", "JobSet"):
        raise SetupError(f"{path} must hold one Job of batch/v1.")
    return template


def build_job(
    run: Run, stage_name: str, template: dict[str, Any], site: Site, uri: str
) -> dict[str, Any]:
    """The Job that carries out `stage_name` (a Stage, or drive) of the run frozen at `uri`; a JobSet on several nodes.

    The Job carries the run's whole hash, which its pod compares with the run.json that it finds. The image is the one
    that the run was frozen with: an upgrade of the site in between makes a new run, never a run
    computed by two codes. Raises ConfigError when a name is too long or the run was frozen with local code.
    """
    annotations = {CONFIG_SHA256: run.config.sha256, RUN_SHA256: run.sha256, RUN_URI: uri}
    job = named_job(template, (run.id, stage_name, run.config.model), annotations)
    container = job_spec(job)["template"]["spec"]["containers"][0]
    container["image"] = _image(run, stage_name)
    container["args"] = ["--run", uri, "--sha256", run.sha256]
    if is_jobset(job):
        set_nodes(job, run)
    set_site(job, stage_name, site, gpu_count(run, stage_name, site))
    return job


def build_base_job(model: ModelSpec, template: dict[str, Any], site: Site) -> dict[str, Any]:
    """The Job that puts `model`'s base weights into the bucket: from the hub, or made, where the model is tiny.

    It belongs to no run, so it uses the site's images.
    """
    annotations = {BASE: f"{model.base}@{model.revision}"}
    job = named_job(template, (model.key, MIRROR, model.key), annotations)
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["image"] = site.images.train if model.tiny else site.images.prep
    container["args"] = ["--model", model.key]
    if model.tiny:
        container["command"] = [*container["command"][:-1], "jobs.tiny"]
        site = site.model_copy(update={"hub_endpoint": "", "hub_secret": ""})  # needs no hub
    set_site(job, MIRROR, site, 0)
    return job


def build_rows_job(source: str, template: dict[str, Any], site: Site) -> dict[str, Any]:
    """The Job that brings the rows of `hub:owner/name@revision` into the bucket; it belongs to no run and no model."""
    job = named_job(template, (rows_instance(source), MIRROR, "rows"), {ROWS: source})
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["image"] = site.images.prep
    container["args"] = ["--data", source]
    set_site(job, MIRROR, site, 0)
    return job


def rows_instance(source: str) -> str:
    """What the Job of hub rows is called after: the same rows, the same Job, and its name is the lock.

    Raises ConfigError when `source` is no `hub:owner/name@revision`; without a revision it is main's.
    """
    name, revision = parse_hub(source)
    return f"rows-{sha256_bytes(f'hub:{name}@{revision}'.encode())[:16]}"


def build_forecast_job(
    run: Run, request: str, template: dict[str, Any], site: Site, uri: str
) -> dict[str, Any]:
    """The Job in which the run frozen at `uri` answers the request under the key `request`.

    A forecast belongs to no stage, and a run may be older than forecasts: it uses the site's image of eval, and asks
    for what eval of this run would ask for.
    """
    annotations = {
        CONFIG_SHA256: run.config.sha256,
        RUN_SHA256: run.sha256,
        RUN_URI: uri,
        REQUEST: request,
    }
    owner = (run.id, forecast_component(request), run.config.model)
    job = named_job(template, owner, annotations)
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["image"] = site.images.eval
    container["args"] = ["answer", request, "--run", uri, "--sha256", run.sha256]
    set_site(job, str(Stage.EVAL), site, gpu_count(run, Stage.EVAL, site))
    return job


def forecast_component(request: str) -> str:
    """`forecast-<8 digits>`: with the run's id the Job's name, so that the same run and request are the same Job."""
    return f"{FORECAST}-{sha256_bytes(request.encode())[:8]}"


def identity(annotations: Mapping[str, str]) -> str:
    """What a Job computes: sha256 of a run or sweep, base weights or rows; two Jobs of one name must agree in it."""
    keys = (RUN_SHA256, CONFIG_SHA256, BASE, ROWS, SWEEP_SHA256)
    named = (annotations.get(key, "") for key in keys)
    return next(filter(None, named), "")


def named_job(
    template: dict[str, Any], owner: tuple[str, str, str], annotations: Mapping[str, str]
) -> dict[str, Any]:
    """A copy of the template with name and labels of `owner` (instance, component, model), and annotations."""
    # Through JSON, so that the template stays as it is and parts that YAML anchors share become separate.
    job: dict[str, Any] = json.loads(json.dumps(template))
    instance, component, model = owner
    job["metadata"]["name"] = job_name(instance, component)
    job["metadata"].setdefault("annotations", {}).update(annotations)
    labels = {INSTANCE: instance, COMPONENT: component, MODEL: model}
    for metadata in (job["metadata"], job_spec(job)["template"].setdefault("metadata", {})):
        metadata.setdefault("labels", {}).update(labels)
    return job


def set_site(job: dict[str, Any], component: str, site: Site, gpus: int) -> None:
    """Everything that the site decides."""
    pod = job_spec(job)["template"]["spec"]
    container = pod["containers"][0]
    if site.queue and component != DRIVE:
        job["metadata"]["labels"][QUEUE] = site.queue
    job_spec(job)["activeDeadlineSeconds"] = _deadline(component, site, job)
    container["imagePullPolicy"] = site.pull_policy
    _set_environment(container, site)
    wanted = getattr(site.resources, component, None)
    _set_resources(container, wanted, site.gpu_resource, gpus)
    _set_volumes(pod, site)
    _set_placement(pod, site, gpus)


def job_name(instance: str, component: str) -> str:
    """`<run id>-<stage>`, `mirror-<model>` or `sweep-<id>`; ConfigError when that is no name that a Job may have."""
    first = component in (MIRROR, SEARCH)
    name = f"{component}-{instance}" if first else f"{instance}-{component}"
    if len(name) > MAX_NAME or not _DNS_LABEL.fullmatch(name):
        raise ConfigError(
            f"Job name '{name}' has {len(name)} characters; at most {MAX_NAME} lower-case letters, digits and '-' are "
            "allowed: shorten the name of the model's configuration."
        )
    return name


def selector(run_id: str = "", stage_name: str = "", sweep: str = "") -> str:
    """The label selector of our Jobs and their pods: all, those of one run, of one of its stages, or of a sweep."""
    chosen = {PROJECT: "fingpt-jobs", INSTANCE: run_id, COMPONENT: stage_name, SWEEP: sweep}
    return ",".join(f"{label}={value}" for label, value in chosen.items() if value)


def search_selector(sweep: str) -> str:
    """The label selector of what carries a sweep out: its controller and the Job of each model's trials."""
    return f"{selector(sweep=sweep)},{COMPONENT} in ({SEARCH},{TRIAL})"


def gpu_count(run: Run, stage_name: str, site: Site) -> int:
    """GPUs that a pod asks for: one per training process, one to evaluate; none for a tiny model unless wanted."""
    if spec(run.config.model).tiny and not site.tiny_gpu:
        return 0
    return {"train": run.config.train.processes, "eval": 1}.get(stage_name, 0)


def to_yaml(job: dict[str, Any]) -> str:
    """The Job as a person reads it and `kubectl apply -f -` takes it."""
    return yaml.safe_dump(job, sort_keys=False, width=120, allow_unicode=True)


def _image(run: Run, stage_name: str) -> str:
    image = run.images.get("prep" if stage_name == DRIVE else stage_name, "")
    if not image or image.startswith("local:"):
        raise ConfigError(
            f"Run {run.id} was frozen with the code of one machine, not with an image for {stage_name}; submit it to "
            "the cluster again, which makes a run of its own."
        )
    return image


def _deadline(stage_name: str, site: Site, job: dict[str, Any]) -> int:
    """The site's; drive's is at least that of all its stages together."""
    if stage_name != DRIVE:
        return site.deadline_seconds
    return max(int(job["spec"]["activeDeadlineSeconds"]), len(Stage) * site.deadline_seconds)


def _set_environment(container: dict[str, Any], site: Site) -> None:
    """Set what the site knows of the variables that the manifest lists; a variable without a value is left out."""
    values = {
        "AWS_ENDPOINT_URL": site.endpoint,
        "AWS_REGION": site.region,
        "FINGPT_STORE": site.store,
        "HF_ENDPOINT": site.hub_endpoint,
    }
    for variable in container["env"]:
        if variable["name"] in values:
            variable["value"] = values[variable["name"]]
    container["env"] = [variable for variable in container["env"] if variable.get("value") != ""]


def _set_resources(
    container: dict[str, Any], wanted: Resources | None, gpu_resource: str, gpus: int
) -> None:
    """Requests equal limits; the manifest's own numbers stay where the site has none, but never its GPUs."""
    amounts = {
        name: amount for name, amount in container["resources"]["limits"].items() if "/" not in name
    }
    if wanted is not None:
        amounts = {
            "cpu": wanted.cpu,
            "memory": wanted.memory,
            "ephemeral-storage": wanted.ephemeral,
        }
    if gpus:
        amounts[gpu_resource] = str(gpus)
    container["resources"] = {"requests": amounts, "limits": dict(amounts)}


def _set_volumes(pod: dict[str, Any], site: Site) -> None:
    for volume in pod["volumes"]:
        if volume["name"] == "cache" and site.cache_claim:
            del volume["emptyDir"]
            volume["persistentVolumeClaim"] = {"claimName": site.cache_claim}
        elif volume["name"] == "cache":
            volume["emptyDir"]["sizeLimit"] = site.cache_size
    for name, secret in (("s3", site.s3_secret), ("hub", site.hub_secret)):
        _set_secret(pod, name, secret)


def _set_secret(pod: dict[str, Any], volume_name: str, secret: str) -> None:
    """Name the Secret behind a volume, or take the volume, its mount and the variables that point into it away."""
    for volume in _named(pod["volumes"], volume_name):
        volume["secret"]["secretName"] = secret
    if secret:
        return
    container = pod["containers"][0]
    paths = [mount["mountPath"] for mount in _named(container["volumeMounts"], volume_name)]
    pod["volumes"] = [each for each in pod["volumes"] if each["name"] != volume_name]
    container["volumeMounts"] = [
        each for each in container["volumeMounts"] if each["name"] != volume_name
    ]
    container["env"] = [
        each
        for each in container["env"]
        if not any(str(each.get("value", "")).startswith(f"{path}/") for path in paths)
    ]


def _named(objects: list[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    return (each for each in objects if each["name"] == name)


def _set_placement(pod: dict[str, Any], site: Site, gpus: int) -> None:
    if site.node_selector:
        pod["nodeSelector"] = dict(site.node_selector)
    if site.tolerations:
        pod["tolerations"] = [
            each.model_dump(by_alias=True, exclude_none=True) for each in site.tolerations
        ]
    # The runtime class of GPUs exists on their nodes only; elsewhere a pod with it never starts.
    if site.runtime_class and gpus:
        pod["runtimeClassName"] = site.runtime_class
    if site.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in site.pull_secrets]
