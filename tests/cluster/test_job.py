"""A run, a stage, a manifest and a site become a Job; whole Jobs are compared with tests/cluster/golden."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path

import pytest
import yaml

from fingpt.cluster.job import (
    build_base_job,
    build_forecast_job,
    build_job,
    build_rows_job,
    forecast_component,
    gpu_count,
    identity,
    job_name,
    load_template,
    selector,
    to_yaml,
)
from fingpt.cluster.site import Site
from fingpt.errors import ConfigError, SetupError
from fingpt.models import spec
from fingpt.runs.run import Run
from tests.cluster.sites import full_site_data, run_of, site_data

GOLDEN = Path(__file__).parent / "golden"
RENEW = "RENEW_GOLDEN"
STAGES = ("prep", "train", "eval", "drive")
REQUEST = "requests/2026-11-20/0a1b2c3d4e5f.json"


def built(run: Run, stage: str, site: Site) -> dict:
    return build_job(run, stage, load_template(stage), site, f"{site.store}/runs/{run.id}/run.json")


def base_job(model: str, site: Site) -> dict:
    return build_base_job(spec(model), load_template("mirror"), site)


def forecast_job(model: str, site: Site, request: str = REQUEST) -> dict:
    run = run_of(model)
    uri = f"{site.store}/runs/{run.id}/run.json"
    return build_forecast_job(run, request, load_template("forecast"), site, uri)


def pod_of(job: dict) -> dict:
    return job["spec"]["template"]["spec"]


def container_of(job: dict) -> dict:
    return pod_of(job)["containers"][0]


def variables_of(job: dict) -> dict:
    return {each["name"]: each.get("value") for each in container_of(job)["env"]}


@pytest.mark.parametrize(
    ("name", "model", "stage", "data"),
    [
        *((f"llama31-{stage}", "llama31", stage, full_site_data()) for stage in STAGES),
        ("tiny-llama31-train", "tiny-llama31", "train", site_data()),
        ("tiny-llama31-eval", "tiny-llama31", "eval", site_data(s3Secret="", tinyGpu="true")),
    ],
)
def test_a_job_is_exactly_its_golden_file(name, model, stage, data):
    run = run_of(model)
    job = built(run, stage, Site.of(data))
    annotations = job["metadata"]["annotations"]
    assert annotations["fingpt-jobs/config-sha256"] == run.config.sha256
    annotations["fingpt-jobs/config-sha256"] = "the configuration's sha256"
    assert annotations["fingpt-jobs/run-sha256"] == container_of(job)["args"][3] == run.sha256
    annotations["fingpt-jobs/run-sha256"] = container_of(job)["args"][3] = "the run's sha256"
    compare(job, GOLDEN / f"{name}.yaml")


@pytest.mark.parametrize(
    ("model", "data"), [("llama31", full_site_data()), ("tiny-llama31", site_data())]
)
def test_a_base_s_job_is_exactly_its_golden_file(model, data):
    compare(base_job(model, Site.of(data)), GOLDEN / f"{model}-mirror.yaml")


@pytest.mark.parametrize(
    ("model", "data"), [("llama31", full_site_data()), ("tiny-llama31", site_data())]
)
def test_a_forecast_s_job_is_exactly_its_golden_file(model, data):
    job = forecast_job(model, Site.of(data))
    annotations, run = job["metadata"]["annotations"], run_of(model)
    assert annotations["fingpt-jobs/run-sha256"] == container_of(job)["args"][5] == run.sha256
    assert annotations["fingpt-jobs/config-sha256"] == run.config.sha256
    annotations["fingpt-jobs/config-sha256"] = "the configuration's sha256"
    annotations["fingpt-jobs/run-sha256"] = container_of(job)["args"][5] = "the run's sha256"
    compare(job, GOLDEN / f"{model}-forecast.yaml")


def compare(job: dict, path: Path) -> None:
    if os.environ.get(RENEW):
        path.write_text(to_yaml(job), encoding="utf-8")
    golden = path.read_text(encoding="utf-8")
    advice = (
        f"The Job differs from {path.name}. If that is wanted, write the golden files anew and look at their diff: "
        f"{RENEW}=1 .venv/bin/pytest tests/cluster/test_job.py"
    )
    assert job == yaml.safe_load(golden), advice
    assert to_yaml(job) == golden, advice


@pytest.mark.parametrize("stage", STAGES)
def test_the_template_is_left_as_it_was(stage, full_site):
    template = load_template(stage)
    before = copy.deepcopy(template)
    run = run_of("llama31")
    first = build_job(run, stage, template, full_site, "s3://bucket/runs/x/run.json")
    assert template == before
    assert first == build_job(run, stage, template, full_site, "s3://bucket/runs/x/run.json")


def test_parts_that_the_manifest_shares_by_anchors_are_set_one_by_one(full_site):
    job = built(run_of("llama31"), "train", full_site)
    assert "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]
    assert "&" not in to_yaml(job)


def test_the_run_s_address_and_its_whole_hash_are_the_only_arguments(full_site):
    run = run_of("llama31")
    job = built(run, "train", full_site)
    uri = "s3://bucket/forecasts/runs/llama31-0a1b2c3d/run.json"
    assert container_of(job)["args"] == ["--run", uri, "--sha256", run.sha256]
    assert job["metadata"]["annotations"]["fingpt-jobs/run-uri"] == uri


def test_two_runs_of_one_short_id_are_not_the_same_job(full_site):
    run = run_of("llama31")
    other = run.model_copy(update={"images": {**run.images, "train": "registry.example/other"}})
    jobs = [built(each, "train", full_site)["metadata"] for each in (run, other)]
    assert jobs[0]["name"] == jobs[1]["name"]
    assert len({identity(each["annotations"]) for each in jobs}) == 2


@pytest.mark.parametrize(
    ("model", "overrides", "tiny_gpu", "expected"),
    [
        ("llama31", (), "false", {"prep": 0, "train": 1, "eval": 1, "drive": 0}),
        ("llama31", ("train.processes=4",), "false", {"train": 4, "eval": 1}),
        ("tiny-llama31", ("train.processes=2",), "false", {"prep": 0, "train": 0, "eval": 0}),
        ("tiny-llama31", ("train.processes=2",), "true", {"prep": 0, "train": 2, "eval": 1}),
    ],
)
def test_gpus_are_asked_for_by_those_who_use_them(model, overrides, tiny_gpu, expected):
    site, run = Site.of(site_data(tinyGpu=tiny_gpu)), run_of(model, *overrides)
    assert {stage: gpu_count(run, stage, site) for stage in expected} == expected


def test_gpus_are_requests_and_limits_of_the_site_s_resource(full_site):
    resources = container_of(built(run_of("llama31"), "train", full_site))["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["nvidia.com/mig-3g.40gb"] == "1"
    assert "nvidia.com/gpu" not in resources["limits"]


def test_a_job_without_gpus_has_neither_their_resource_nor_their_runtime_class(full_site):
    job = built(run_of("tiny-llama31"), "train", full_site)
    assert not [name for name in container_of(job)["resources"]["limits"] if "/" in name]
    assert "runtimeClassName" not in pod_of(job)
    assert pod_of(built(run_of("llama31"), "train", full_site))["runtimeClassName"] == "nvidia"


def test_drive_stands_in_no_queue_and_outlives_its_stages(full_site):
    drive = built(run_of("llama31"), "drive", full_site)
    assert "kueue.x-k8s.io/queue-name" not in drive["metadata"]["labels"]
    long = Site.of(site_data(deadlineSeconds="900000"))
    assert built(run_of("llama31"), "drive", long)["spec"]["activeDeadlineSeconds"] == 2700000
    assert built(run_of("llama31"), "train", long)["spec"]["activeDeadlineSeconds"] == 900000


def test_without_an_endpoint_there_is_no_variable_for_it(site):
    assert "AWS_ENDPOINT_URL" not in variables_of(built(run_of("llama31"), "prep", site))


def test_without_a_secret_nothing_points_to_one():
    job = built(run_of("llama31"), "train", Site.of(site_data(s3Secret="")))
    assert "AWS_SHARED_CREDENTIALS_FILE" not in variables_of(job)
    assert "s3" not in {each["name"] for each in pod_of(job)["volumes"]}
    assert "s3" not in {each["name"] for each in container_of(job)["volumeMounts"]}


def test_the_hub_s_token_is_a_file_of_the_mirror_alone_and_only_where_it_is_needed(site, full_site):
    def parts(job):
        pod, container = pod_of(job), container_of(job)
        named = [*pod["volumes"], *container["volumeMounts"], *container["env"]]
        return {each["name"] for each in named} & {"hub", "HF_TOKEN_PATH"}

    assert parts(base_job("llama31", full_site)) == {"hub", "HF_TOKEN_PATH"}
    (hub,) = [v for v in pod_of(base_job("llama31", full_site))["volumes"] if v["name"] == "hub"]
    assert hub["secret"]["secretName"] == "hub-token"
    assert parts(base_job("llama31", site)) == set()  # no Secret is named
    assert parts(base_job("tiny-llama31", full_site)) == set()  # nothing is fetched
    assert not any(parts(built(run_of("llama31"), stage, full_site)) for stage in STAGES)


def test_the_hub_s_address_is_the_site_s_and_only_where_the_hub_is_asked(site, full_site):
    asks = [
        base_job("llama31", full_site),
        build_rows_job("hub:owner/rows@main", load_template("mirror"), full_site),
    ]
    assert [variables_of(job)["HF_ENDPOINT"] for job in asks] == ["https://models.example/hub"] * 2
    assert "HF_ENDPOINT" not in variables_of(base_job("llama31", site))  # the client's own
    others = [built(run_of("llama31"), stage, full_site) for stage in STAGES]
    assert not any("HF_ENDPOINT" in variables_of(job) for job in others)
    assert "HF_ENDPOINT" not in variables_of(base_job("tiny-llama31", full_site))


def test_base_weights_are_fetched_by_prep_s_image_and_made_by_train_s(full_site):
    fetched, made = (base_job(model, full_site) for model in ("llama31", "tiny-llama31"))
    assert container_of(fetched)["image"] == full_site.images.prep
    assert container_of(fetched)["command"][-1] == "jobs.mirror"
    assert container_of(made)["image"] == full_site.images.train
    assert container_of(made)["command"][-1] == "jobs.tiny"


def test_a_base_s_job_is_known_by_its_weights_and_found_by_model(site):
    job, model = base_job("llama31", site), spec("llama31")
    assert identity(job["metadata"]["annotations"]) == f"{model.base}@{model.revision}"
    assert identity(built(run_of("llama31"), "prep", site)["metadata"]["annotations"]) == (
        run_of("llama31").sha256
    )
    assert job["metadata"]["name"] == job_name("llama31", "mirror") == "mirror-llama31"
    labels = job["spec"]["template"]["metadata"]["labels"]
    wanted = dict(part.split("=") for part in selector("llama31", "mirror").split(","))
    assert wanted.items() <= labels.items()


def test_a_forecast_s_job_is_named_by_run_and_request_and_found_by_its_run(full_site):
    job = forecast_job("llama31", full_site)
    other = forecast_job("llama31", full_site, "requests/2026-11-27/0a1b2c3d4e5f.json")
    names = [each["metadata"]["name"] for each in (job, other)]
    assert len(set(names)) == 2
    assert all(re.fullmatch("llama31-0a1b2c3d-forecast-[0-9a-f]{8}", name) for name in names)
    labels = job["spec"]["template"]["metadata"]["labels"]
    wanted = dict(part.split("=") for part in selector("llama31-0a1b2c3d").split(","))
    assert wanted.items() <= labels.items()
    assert len(job_name("a" * 40, forecast_component(REQUEST))) <= 63


def test_a_forecast_is_made_by_the_site_s_image_of_today_whatever_the_run_was_frozen_with(site):
    old = run_of("llama31").model_copy(update={"images": {"eval": "local:0123"}})
    job = build_forecast_job(
        old, REQUEST, load_template("forecast"), site, "s3://b/runs/x/run.json"
    )
    assert container_of(job)["image"] == site.images.eval
    assert variables_of(job)["HF_HUB_OFFLINE"] == "1"


def test_a_forecast_asks_for_what_the_evaluation_of_its_run_asks_for(site, full_site):
    for model in ("llama31", "tiny-llama31"):
        for each in (site, full_site):
            ours, theirs = forecast_job(model, each), built(run_of(model), "eval", each)
            assert container_of(ours)["resources"] == container_of(theirs)["resources"]
            assert ours["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") == (
                theirs["metadata"]["labels"].get("kueue.x-k8s.io/queue-name")
            )


def test_no_secret_s_bytes_can_be_in_a_job(full_site):
    for stage in STAGES:
        text = to_yaml(built(run_of("llama31"), stage, full_site))
        assert "secretKeyRef" not in text
        assert "AWS_SECRET_ACCESS_KEY" not in text


def test_a_run_frozen_with_local_code_is_refused(site):
    local = Run(
        id="llama31-0a1b2c3d", config=run_of("llama31").config, images={"train": "local:0123"}
    )
    with pytest.raises(ConfigError, match="submit it to the cluster again"):
        built(local, "train", site)


@pytest.mark.parametrize("run_id", ["a" * 58, "Llama-31", "-llama", "llama_31"])
def test_a_name_that_no_job_may_have_is_refused_before_anything_is_sent(run_id):
    with pytest.raises(ConfigError, match="at most 63 lower-case letters"):
        job_name(run_id, "train")


def test_the_longest_run_id_makes_a_name():
    assert len(job_name("a" * 57, "train")) == 63


def test_selectors_narrow_from_all_to_one_stage():
    assert selector() == "app.kubernetes.io/name=fingpt-jobs"
    assert selector("run-1").endswith("app.kubernetes.io/instance=run-1")
    assert selector("run-1", "eval").endswith("app.kubernetes.io/component=eval")


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "is not in"), ("a: [", "is not plain YAML"), ("kind: Pod", "must hold one Job")],
)
def test_a_broken_manifest_is_one_error(tmp_path, text, words):
    if text is not None:
        (tmp_path / "train.yaml").write_text(text)
    with pytest.raises(SetupError, match=words):
        load_template("train", tmp_path)
