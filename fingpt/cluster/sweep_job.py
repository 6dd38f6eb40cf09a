"""Build the Jobs of a sweep: its controller, and for a grid or random search one Indexed Job per model. Pure.

As in job.py, k8s/ owns the shape and the values are set here. This room knows no sweep: it is told what a Job needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from fingpt.cluster.job import (
    DRIVE,
    MAX_NAME,
    QUEUE,
    RUN_URI,
    SEARCH,
    SWEEP,
    SWEEP_SHA256,
    TRIAL,
    gpu_count,
    job_name,
    named_job,
    set_site,
)
from fingpt.cluster.site import Site
from fingpt.errors import ConfigError
from fingpt.runs.run import Run, Stage

MIN_PARALLELISM = "kueue.x-k8s.io/job-min-parallelism"
"""Kueue may admit a Job with fewer pods at a time than it asks for, down to so many."""

LEAST_FAILURES = 10
"""So many trials may fail in any case before the Job of a search gives up."""

_LONGEST_SECONDS = 30 * 86400


@dataclass(frozen=True, slots=True)
class SweepAddress:
    """A frozen sweep: its id, its whole hash, and where its sweep.json is."""

    id: str
    sha256: str
    uri: str


def build_controller_job(
    sweep: SweepAddress, images: Mapping[str, str], template: dict[str, Any], site: Site
) -> dict[str, Any]:
    """The Job `sweep-<id>`, which carries out the sweep; its image is the one that the sweep was frozen with."""
    job = named_job(template, (sweep.id, SEARCH, "sweep"), _annotations(sweep))
    _label(job, sweep.id)
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["image"] = _image(sweep, images, Stage.PREP)
    container["args"] = ["--sweep", sweep.uri, "--sha256", sweep.sha256]
    longest = job["spec"]["activeDeadlineSeconds"]
    set_site(job, DRIVE, site, 0)
    job["spec"]["activeDeadlineSeconds"] = max(longest, job["spec"]["activeDeadlineSeconds"])
    return job


def build_trial_job(
    sweep: SweepAddress, run: Run, size: tuple[int, int], template: dict[str, Any], site: Site
) -> dict[str, Any]:
    """The Indexed Job of `run`'s model, any run of it; `size` is (trials, trials at a time).

    ConfigError when its pods could not have names, or the sweep was frozen with local code.
    """
    model, (count, parallel) = run.config.model, size
    job = named_job(template, (trial_instance(sweep.id, model), TRIAL, model), _annotations(sweep))
    _label(job, sweep.id)
    _check_name(job["metadata"]["name"], count)
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["image"] = _image(sweep, run.images, Stage.TRAIN)
    container["args"] = ["--sweep", sweep.uri, "--sha256", sweep.sha256, "--model", model]
    set_site(job, str(Stage.TRAIN), site, gpu_count(run, Stage.TRAIN, site))
    parallel = min(parallel, count)
    deadline = site.deadline_seconds * ceil(count / parallel)
    job["spec"] |= {
        "completions": count,
        "parallelism": parallel,
        "maxFailedIndexes": min(max(LEAST_FAILURES, count // 2), count),
        "activeDeadlineSeconds": max(min(deadline, _LONGEST_SECONDS), site.deadline_seconds),
    }
    if QUEUE in job["metadata"]["labels"]:
        job["metadata"]["annotations"][MIN_PARALLELISM] = "1"
    return job


def trial_instance(sweep_id: str, model: str) -> str:
    """What the Job of a model's trials is called after."""
    return f"{sweep_id}-{model}"


def mark(job: dict[str, Any], sweep_id: str) -> dict[str, Any]:
    """The Job of an ordinary run, named as one that a sweep has made: `make cancel SWEEP=` finds it."""
    _label(job, sweep_id)
    return job


def _label(job: dict[str, Any], sweep_id: str) -> None:
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        metadata["labels"][SWEEP] = sweep_id


def _annotations(sweep: SweepAddress) -> dict[str, str]:
    return {SWEEP_SHA256: sweep.sha256, RUN_URI: sweep.uri}


def _image(sweep: SweepAddress, images: Mapping[str, str], stage: Stage) -> str:
    image = images.get(stage, "")
    if not image or image.startswith("local:"):
        raise ConfigError(
            f"Sweep {sweep.id} was frozen with the code of one machine, not with an image for {stage}; give the "
            "command for the cluster again, which makes a sweep of its own."
        )
    return image


def _check_name(name: str, count: int) -> None:
    """An Indexed Job's pods are called after it and their index, as hosts are."""
    longest = f"{name}-{count - 1}"
    if len(longest) > MAX_NAME:
        raise ConfigError(
            f"The pods of Job '{name}' would have names of {len(longest)} characters; at most {MAX_NAME} are allowed: "
            "shorten the name of the file in jobs/sweeps."
        )


def sweep_name(sweep_id: str) -> str:
    """The name of the controller's Job."""
    return job_name(sweep_id, SEARCH)
