"""A training on several nodes becomes a JobSet whose pods are those of one node, but for what they are told."""

from __future__ import annotations

import copy
import re

import pytest

from fingpt import errors
from fingpt.cluster.drive import plan
from fingpt.cluster.job import build_job, load_template
from fingpt.cluster.jobset import is_jobset, job_spec, template_name
from fingpt.cluster.site import Site
from fingpt.errors import ConfigError
from fingpt.runs.nodes import Node, node_of
from fingpt.runs.run import Stage
from tests.cluster.sites import full_site_data, run_of, site_data
from tests.cluster.test_job import GOLDEN, compare

TOLD = ("NNODES", "NODE_RANK", "NPROC_PER_NODE", "MASTER_ADDR", "MASTER_PORT", "FINGPT_POD")


def built(model: str, data: dict[str, str], *overrides: str) -> dict:
    run = run_of(model, "train.nodes=2", *overrides)
    (made,) = plan(run, ["train"], Site.of(data), "s3://bucket")
    return made


def container(jobset: dict) -> dict:
    return job_spec(jobset)["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("model", "data"), [("llama31", full_site_data()), ("tiny-llama31", site_data())]
)
def test_a_jobset_is_exactly_its_golden_file(model, data):
    jobset = built(model, data)
    run = run_of(model, "train.nodes=2")
    annotations = jobset["metadata"]["annotations"]
    assert annotations["fingpt-jobs/run-sha256"] == container(jobset)["args"][3] == run.sha256
    annotations["fingpt-jobs/config-sha256"] = "the configuration's sha256"
    annotations["fingpt-jobs/run-sha256"] = container(jobset)["args"][3] = "the run's sha256"
    compare(jobset, GOLDEN / f"{model}-train-nodes.yaml")


def test_only_training_on_several_nodes_is_a_jobset():
    several, one = run_of("llama31", "train.nodes=2"), run_of("llama31")
    assert [template_name(several, name) for name in ("prep", "train", "eval", "drive")] == [
        "prep",
        "train-nodes",
        "eval",
        "drive",
    ]
    assert template_name(one, "train") == "train"


@pytest.mark.parametrize("data", [site_data(), full_site_data()])
def test_its_pods_are_those_of_one_node_but_for_what_they_are_told(data):
    site = Site.of(data)
    run = run_of("llama31", "train.nodes=2")
    alone = build_job(
        run, "train", load_template("train"), site, f"s3://bucket/runs/{run.id}/run.json"
    )
    jobset = copy.deepcopy(built("llama31", data))
    container(jobset)["env"] = [
        each for each in container(jobset)["env"] if each["name"] not in TOLD
    ]
    template = job_spec(jobset)["template"]
    assert template["metadata"]["labels"].pop("fingpt-jobs/nodes") == "2"
    assert template == alone["spec"]["template"]
    assert job_spec(jobset)["activeDeadlineSeconds"] == alone["spec"]["activeDeadlineSeconds"]


def test_the_queue_is_named_on_the_jobset_alone_and_nobody_suspends_it():
    jobset = built("llama31", full_site_data())
    assert jobset["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "forecasters"
    assert "queue-name" not in str(jobset["spec"])
    assert "suspend" not in str(jobset["spec"])


def test_a_pod_is_told_what_the_trainer_reads():
    run = run_of("llama31", "train.nodes=3", "train.processes=2")
    (jobset,) = plan(run, ["train"], Site.of(site_data()), "s3://bucket")
    assert (job_spec(jobset)["completions"], job_spec(jobset)["parallelism"]) == (3, 3)
    told = {each["name"]: each.get("value", "2") for each in container(jobset)["env"]}
    name = jobset["metadata"]["name"]
    assert node_of(run, Stage.TRAIN, told) == Node(
        rank=2, count=3, address=f"{name}-node-0-0.{name}", port=29500
    )
    assert container(jobset)["resources"]["limits"]["nvidia.com/gpu"] == "2"


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (
            "Container train for pod ns/run-train-node-0-1-x failed with exit code 70 matching FailJob rule at index 0",
            "FailJobSet",
        ),
        (
            "Pod ns/run-train-node-0-1-x has condition DisruptionTarget matching FailJob rule at index 1",
            "RestartJobSetAndIgnoreMaxRestarts",
        ),
        (
            "Container train for pod ns/run-train-node-0-0-x failed with exit code 76 matching FailJob rule at index 2",
            "RestartJobSetAndIgnoreMaxRestarts",
        ),
        ("Job has reached the specified backoff limit", "RestartJobSet"),
    ],
)
def test_a_verdict_ends_it_a_disruption_costs_nothing_all_else_is_counted(message, action):
    rules = load_template("train-nodes")["spec"]["failurePolicy"]["rules"]
    found = [
        rule["action"]
        for rule in rules
        if any(re.search(pattern, message) for pattern in rule["onJobFailureMessagePatterns"])
    ]
    assert (found or ["RestartJobSet"])[0] == action


def test_its_exit_codes_are_those_of_a_training_on_one_node():
    several, one = load_template("train-nodes"), load_template("train")
    rules = job_spec(several)["podFailurePolicy"]["rules"]
    assert rules[0] == one["spec"]["podFailurePolicy"]["rules"][0]
    assert rules[1]["onPodConditions"] == [{"type": "DisruptionTarget"}]
    codes = [errors.FencedError.exit_code, errors.Interrupted.exit_code]
    assert rules[2]["onExitCodes"]["values"] == codes
    assert (
        several["spec"]["failurePolicy"]["maxRestarts"],
        job_spec(several)["backoffLimit"],
    ) == (one["spec"]["backoffLimit"], 0)
    assert is_jobset(several)
    assert not is_jobset(one)


def test_a_name_that_leaves_no_room_for_those_of_pods_is_refused():
    run = run_of("llama31", "train.nodes=2").model_copy(update={"id": "a" * 41})
    with pytest.raises(ConfigError, match="47 characters, and its pods' names need 17 of 63 more"):
        plan(run, ["train"], Site.of(site_data()), "s3://bucket")
    plan(run.model_copy(update={"id": "a" * 40}), ["train"], Site.of(site_data()), "s3://bucket")
