"""Metrics through the evaluate library, offline, with known answers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fingpt.eval.metric_modules import MODULES, MetricModules, first_words, mean_rouge
from fingpt.runs.manifest import RougeScores


def test_accuracy_and_mse_have_known_answers(metrics):
    assert metrics.accuracy(predicted=[1, -1, 0, 1], truth=[1, 1, -1, 1]) == 0.5
    assert metrics.mse(predicted=[1.5, -0.5], truth=[2.5, -0.5]) == 0.5


def test_no_rows_give_no_number(metrics):
    assert metrics.accuracy(predicted=[], truth=[]) is None
    assert metrics.mse(predicted=[], truth=[]) is None
    assert metrics.rouge(predictions=[], references=[]) == []


def test_rouge_counts_stems_pairs_and_the_longest_common_subsequence(metrics):
    (row,) = metrics.rouge(
        predictions=["prices rising fast today"], references=["fast price rises"]
    )
    # Stems: price rise fast today / fast price rise: 3 of 4 and 3 of 3 words, 1 of 3 and 1 of 2 pairs, LCS 2.
    assert row.rouge1 == pytest.approx(2 * (3 / 4) / (3 / 4 + 1))
    assert row.rouge2 == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert row.rougeL == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))


def test_rouge_rows_keep_their_order_when_some_are_known_already(metrics):
    metrics.rouge(predictions=["b b"], references=["b"])
    rows = metrics.rouge(predictions=["a", "b b", "c", "a"], references=["a", "b", "x", "a"])
    assert [row.rouge1 for row in rows] == pytest.approx([1.0, 2 / 3, 0.0, 1.0])


def test_the_mean_of_rouge_is_the_arithmetic_mean():
    rows = [
        RougeScores(rouge1=0.0, rouge2=0.1, rougeL=0.2),
        RougeScores(rouge1=1.0, rouge2=0.3, rougeL=0.2),
    ]
    assert mean_rouge(rows).rouge1 == 0.5
    assert mean_rouge(rows).rouge2 == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "predictions", "references", "key", "value"),
    [
        ("accuracy", [1, -1], [1, 1], "accuracy", 0.5),
        ("mse", [1.0], [3.0], "mse", 4.0),
        ("rouge", ["a b"], ["a b"], "rouge1", [1.0]),
    ],
)
def test_evaluate_loads_each_shipped_module_from_its_folder(
    name, predictions, references, key, value, tmp_path
):
    import evaluate

    module = evaluate.load(str(MODULES / name), cache_dir=str(tmp_path))
    assert module.compute(predictions=predictions, references=references)[key] == value


@pytest.mark.slow  # a fresh process imports evaluate, which imports torch
def test_metrics_need_no_network_and_leave_nothing_in_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)  # holds for everyone but root
    program = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from fingpt.eval.metric_modules import MetricModules\n"
        f"metrics = MetricModules(Path({str(tmp_path / 'work')!r}))\n"
        "assert metrics.rouge(predictions=['a'], references=['a'])[0].rougeL == 1.0\n"
        "assert metrics.accuracy(predicted=[1], truth=[1]) == metrics.mse(predicted=[1.0], truth=[2.0]) == 1.0\n"
    )
    kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**kept, "HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []


def test_rouge_of_endless_texts_looks_at_their_first_words_and_counts_them(tmp_path):
    metrics = MetricModules(tmp_path)
    long, joined = "word " * 8000, "-".join(f"w{number}" for number in range(8000))
    start = time.monotonic()
    metrics.rouge(predictions=[long, "up", joined], references=["word", "up", joined + "x"])
    assert time.monotonic() - start < 10
    assert metrics.shortened == 3
    assert "3 texts have more than 2000 words" in metrics.shortened_sentence()


def test_texts_of_ordinary_length_are_left_as_they_are():
    assert first_words("Ä b-c. D", 3) == "Ä b-c. D"
    assert first_words("A b-c. D e", 3) == "a b-c"
