from __future__ import annotations

import importlib.util

import pytest

from fingpt.config import RunConfig
from fingpt.doctor import evaluation
from fingpt.doctor.checks import Grade
from fingpt.doctor.evaluation import evaluation_check, pods_check, require_evaluation
from fingpt.doctor.examine import examine
from fingpt.doctor.trials import trials
from fingpt.errors import SetupError
from fingpt.eval import engine
from tests.cluster.sites import run_of

NEEDS = "eval.engine=vllm needs vLLM, which is not installed here"


def config(**settings) -> RunConfig:
    return RunConfig(model="llama31", eval=settings)


def test_a_cpu_says_what_would_answer_and_why():
    check = evaluation_check(config())
    assert check.grade is Grade.OK
    assert check.message.startswith("precision: fp32; answers: transformers ")
    assert check.message.endswith("(there is no GPU)")


def test_vllm_that_is_here_is_said_with_its_version(monkeypatch):
    monkeypatch.setattr(engine, "_vllm", lambda: "0.33.0")
    assert evaluation_check(config(engine="vllm")).message.endswith("vllm 0.33.0 (asked for)")


def test_vllm_that_is_asked_for_and_not_here_fails_before():
    check = evaluation_check(config(engine="vllm"))
    assert (check.grade, check.code) == (Grade.FAIL, 78)
    assert NEEDS in check.message
    with pytest.raises(SetupError, match=NEEDS):
        require_evaluation(config(engine="vllm"))


def test_validation_rows_are_not_answered_so_the_engine_plays_no_part():
    asked = config(engine="vllm", split="validation")
    assert "answers: none" in evaluation_check(asked).message
    require_evaluation(asked)


def test_a_precision_that_the_card_lacks_fails_before(old_card):
    check = evaluation_check(config(precision="bf16"))
    assert (check.grade, check.code) == (Grade.FAIL, 78)
    assert "An Old GPU has no bf16; use eval.precision=fp32" in check.message
    with pytest.raises(SetupError, match="An Old GPU has no bf16"):
        require_evaluation(config(precision="bf16"))


def test_a_machine_without_torch_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert evaluation_check(config()).grade is Grade.WARN


def test_doctor_says_it_where_the_store_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FINGPT_STORE", str(tmp_path))
    from fingpt.config import read_environment

    (check,) = [
        one
        for one in examine(config(engine="vllm"), read_environment())
        if one.name == evaluation.NAME
    ]
    assert check.code == 78


@pytest.mark.parametrize(
    ("settings", "gpus", "words"),
    [
        ({}, 1, "vllm where its image has it, else transformers"),
        ({}, 0, "transformers (its pod asks for no GPU)"),
        ({"precision": "fp32"}, 1, "transformers (vLLM is for bf16, and eval.precision is fp32)"),
        ({"engine": "transformers"}, 1, "transformers (asked for)"),
        ({"engine": "vllm"}, 1, "vllm (asked for)"),
        ({"engine": "vllm", "split": "validation"}, 0, engine.NO_ANSWERS),
    ],
)
def test_on_a_cluster_the_engine_is_said_by_what_a_pod_asks_for(settings, gpus, words):
    check = pods_check(config(**settings), gpus)
    assert (check.grade, check.message) == (Grade.OK, f"answers: {words}")


def test_vllm_for_a_pod_without_a_gpu_is_a_warning_with_the_ways_out():
    check = pods_check(config(engine="vllm"), 0)
    assert check.grade is Grade.WARN
    assert "asks for no GPU" in check.message
    assert "eval.engine=transformers" in check.action


@pytest.mark.parametrize(
    ("settings", "looks"),
    [
        ({"engine": "vllm"}, True),
        ({"engine": "auto"}, False),
        ({"engine": "vllm", "split": "validation"}, False),
    ],
)
def test_on_a_cluster_the_image_of_eval_is_asked_for_the_vllm_that_a_run_needs(
    full_site, settings, looks
):
    run = run_of("llama31")
    asked = run.model_copy(
        update={"config": run.config.model_copy(update={"eval": config(**settings).eval})}
    )
    found = {one.title: one for one in trials(asked, full_site, "0a1b2c3d")}["image of eval"]
    container = found.job["spec"]["template"]["spec"]["containers"][0]
    wanted = ["tini", "--", "python", "-m", "fingpt.doctor.evaluation"]
    assert (container.get("command") == wanted) is looks
    assert found.success.endswith("it has vLLM") is looks


def test_an_image_without_vllm_ends_the_trial_with_78_and_one_with_it_with_0(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("FINGPT_STORE", str(tmp_path))
    assert evaluation.main() == 78
    assert NEEDS in capsys.readouterr().err
    monkeypatch.setattr(engine, "_vllm", lambda: "0.33.0")
    assert evaluation.main() == 0
