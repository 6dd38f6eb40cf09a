"""The published rows and answers through the commands that a person calls: a run, a report, the published figures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from fingpt.config import load_config
from fingpt.runs.remedy import CONFIGS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECTIONS = ("pros", "cons", "analysis")

# Rows, parsed, valid, accuracy, squared error, then ROUGE 1, 2 and L of each section: what the published code gives.
PUBLISHED = {
    ("llama31", "strict"): "300 286 283 0.491 9.89 "
    "0.408 0.153 0.251 0.439 0.158 0.272 0.364 0.109 0.181",
    ("deepseek-r1", "strict_without_reasoning"): "300 300 297 0.515 9.22 "
    "0.456 0.171 0.276 0.434 0.155 0.266 0.441 0.134 0.222",
}


def make(target: str, **variables: object) -> None:
    words = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(["make", target, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("model", "parser"), PUBLISHED)
def test_published_answers_get_the_figures_of_the_published_code(
    real_data, tmp_path, model, parser
):
    answers = real_data / "generations" / f"{model}-finetuned.parquet"
    make("score", ANSWERS=answers, DATA=real_data, OUT=tmp_path)
    by_parser = json.loads((tmp_path / "scores.json").read_text())
    scores = by_parser[parser]
    figures = [scores["n"], scores["parsed"], scores["valid"]]
    figures += [f"{scores['binary_accuracy']:.3f}", f"{scores['mse']:.2f}"]
    rouge = scores["rouge"]
    figures += [f"{value:.3f}" for section in SECTIONS for value in rouge[section].values()]
    assert " ".join(map(str, figures)) == PUBLISHED[model, parser]
    assert by_parser["robust"]["parsed"] == 300
    assert by_parser["strict"]["parsed"] == (0 if model == "deepseek-r1" else 286)


KNOWN = " ".join(
    f"prep.allow_leaks.{rule}=published"
    for rule in load_config(CONFIGS / "llama31.yaml").prep.allow_leaks
)


@pytest.mark.part4
@pytest.mark.timeout(1200)
def test_both_tiny_models_run_on_published_rows_and_are_compared(real_data, tmp_path):
    store = {"STORE": tmp_path / "store"}
    for model in ("tiny-llama31", "tiny-deepseek-r1"):
        make("run", MODEL=model, DATA=real_data, LIMIT=20, SET=KNOWN, **store)
    make("compare", OUT=tmp_path / "report", **store)
    assert (tmp_path / "report" / "report.html").stat().st_size > 0
