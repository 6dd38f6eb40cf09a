"""The ResourceQuota that docs/security.md shows holds what it says: two trainings and what stands around them."""

from __future__ import annotations

from decimal import Decimal

from fingpt.cluster.api.objects import parse_quantity
from fingpt.cluster.job import load_template
from tests.helm.charts import of_kind, quota_example, render


def test_two_trainings_and_a_drive_each_fit_into_the_example_s_quota():
    hard = quota_example()["spec"]["hard"]
    used: dict[str, Decimal] = {}
    for stage in ("train", "train", "drive", "drive", "mirror"):
        pod = load_template(stage)["spec"]["template"]["spec"]
        for name, text in pod["containers"][0]["resources"]["requests"].items():
            used[name] = used.get(name, Decimal()) + parse_quantity(text)
    for name, needed in used.items():
        assert needed <= parse_quantity(hard[f"requests.{name}"]), name
    assert used["nvidia.com/gpu"] + 1 > parse_quantity(hard["requests.nvidia.com/gpu"])


def test_the_weekly_forecasts_fit_beside_a_training_into_the_example_s_quota(helm):
    arguments = ("--set-json", "resources={}")
    hard = quota_example()["spec"]["hard"]
    pods = [
        each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for each in of_kind(render(helm, "full", *arguments), "CronJob").values()
    ]
    pods += [load_template(name)["spec"]["template"]["spec"] for name in ("train", "forecast")]
    used: dict[str, Decimal] = {}
    for pod in pods:
        for name, text in pod["containers"][0]["resources"]["requests"].items():
            used[name] = used.get(name, Decimal()) + parse_quantity(text)
    for name, needed in used.items():
        assert needed <= parse_quantity(hard[f"requests.{name}"]), name
