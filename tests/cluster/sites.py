"""Two sites and any run, for the tests of Jobs: the least that a ConfigMap holds, and all that it may."""

from __future__ import annotations

import json
from pathlib import Path

from fingpt.config import load_config
from fingpt.runs.run import Run

CONFIGS = Path(__file__).parents[2] / "jobs" / "configs"
IMAGES = {
    stage: f"registry.example/fingpt-{stage}@sha256:{number:064d}"
    for number, stage in enumerate(("prep", "train", "eval"), start=1)
}


def site_data(**changes: str) -> dict[str, str]:
    """The ConfigMap's data with no more than it must have."""
    return {"store": "s3://bucket", "images": json.dumps(IMAGES), "s3Secret": "s3-keys", **changes}


def full_site_data() -> dict[str, str]:
    """A GPU cluster's: every key is there."""
    amounts = {"cpu": "12", "memory": "96Gi", "ephemeral": "80Gi"}
    return site_data(
        store="s3://bucket/forecasts",
        endpoint="https://s3.example:9000",
        region="eu-central-1",
        hubEndpoint="https://models.example/hub",
        hubSecret="hub-token",
        pullPolicy="Always",
        pullSecrets='["registry-login"]',
        gpuResource="nvidia.com/mig-3g.40gb",
        nodeSelector='{"pool": "gpu"}',
        tolerations='[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]',
        queue="forecasters",
        cacheClaim="weights",
        cacheSize="64Gi",
        resources=json.dumps(dict.fromkeys(("train", "eval", "mirror"), amounts)),
        runtimeClass="nvidia",
        deadlineSeconds="86400",
        tinyGpu="false",
    )


def run_of(model: str, *overrides: str) -> Run:
    """A run with an id that does not follow the configuration, so that golden files live longer than defaults."""
    config = load_config(CONFIGS / f"{model}.yaml", overrides)
    return Run(id=f"{config.model}-0a1b2c3d", config=config, images=IMAGES)
