"""The Jobs of a sweep of any model, for whoever compares them with others."""

from __future__ import annotations

from typing import Any

from fingpt.cluster.job import SEARCH, TRIAL, load_template
from fingpt.cluster.site import Site
from fingpt.cluster.sweep_job import SweepAddress, build_controller_job, build_trial_job
from tests.cluster.sites import run_of


def address(site: Site, name: str = "lora-grid") -> SweepAddress:
    sweep_id = f"{name}-0a1b2c3d"
    return SweepAddress(sweep_id, "5" * 64, f"{site.store}/sweeps/{sweep_id}/sweep.json")


def sweep_jobs_of(
    model: str, site: Site, size: tuple[int, int] = (9, 3)
) -> dict[str, dict[str, Any]]:
    """Both Jobs, by component."""
    run, sweep = run_of(model), address(site)
    return {
        SEARCH: build_controller_job(sweep, run.images, load_template(SEARCH), site),
        TRIAL: build_trial_job(sweep, run, size, load_template(TRIAL), site),
    }
