"""`make score`: its exit codes and its one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
ROW = {"symbol": "AAA", "period": "2024-01-07 to 2024-01-14"}
TEXT = (
    "[Positive Developments]:\n1. a\n\n[Potential Concerns]:\n1. b\n\n"
    "[Prediction & Analysis]:\nPrediction: Up by 2-3%\nAnalysis: c"
)


def score(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.score", *arguments],
        cwd=ROOT,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow  # two processes that import evaluate, and with it torch
def test_a_score_is_written_and_a_bad_one_leaves_nothing(tmp_path):
    rows = tmp_path / "rows"
    rows.mkdir()
    pq.write_table(
        pa.Table.from_pylist([ROW | {"answer": TEXT, "label": "up by 2-3%"}]),
        rows / "test.parquet",
    )
    pq.write_table(pa.Table.from_pylist([ROW | {"prediction": TEXT}]), tmp_path / "good.parquet")
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "bad.parquet")
    places = ("--data", str(rows), "--out")
    good = score("--answers", str(tmp_path / "good.parquet"), *places, str(tmp_path / "good"))
    assert good.returncode == 0, good.stderr
    scores = json.loads((tmp_path / "good" / "scores.json").read_text())
    assert scores["strict"]["binary_accuracy"] == scores["robust"]["binary_accuracy"] == 1.0
    assert "analysis rougeL" in good.stdout
    assert "no verdicts: they need the prompts" in good.stdout
    assert not (tmp_path / "good" / "verdicts.json").exists()
    bad = score("--answers", str(tmp_path / "bad.parquet"), *places, str(tmp_path / "bad"))
    assert bad.returncode == 65
    assert bad.stderr.count('"level": "error"') == 1
    assert "no column 'prediction'" in bad.stderr.splitlines()[-1]
    assert "Traceback" not in bad.stderr
    assert not (tmp_path / "bad").exists()


def test_empty_names_are_refused_before_anything_loads():
    done = score("--answers", "", "--data", "", "--out", "")
    assert done.returncode == 64
    assert "make score ANSWERS=" in done.stderr
