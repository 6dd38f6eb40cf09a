"""Rates of tokenising by cores: each has its line, and no rate is of other ids."""

from __future__ import annotations

import json
import os

import pytest

from fingpt.models import spec
from fingpt.synthetic import tiny
from tests.bench import tokens
from tests.gpu.long_rows import long_rows

MODEL = "tiny-llama31"


@pytest.fixture
def base(tmp_path):
    rows = [tiny.prose(row) for row in tiny.practice_rows(tiny.RECIPE)[:20]]
    tiny.build_tokenizer(spec(MODEL), rows, tmp_path / "tokenizer.json")
    return tmp_path


def test_each_number_of_cores_has_its_line(base, capsys):
    before = os.sched_getaffinity(0)
    found = tokens.rates(base, MODEL, long_rows(base, 8, 0), [1, 1], 1)
    assert [json.loads(each) for each in capsys.readouterr().out.splitlines()] == found
    assert [(each["cores"], each["processes"], each["rows"]) for each in found] == [(1, 1, 4)] * 2
    assert all(each["rows_per_second"] > 0 and each["without_start"] > 0 for each in found)
    assert os.sched_getaffinity(0) == before


def test_a_way_that_gives_other_ids_is_not_measured(base, monkeypatch):
    before, made = os.sched_getaffinity(0), iter(range(100))
    monkeypatch.setattr(tokens, "render_all", lambda *_: [next(made)])
    with pytest.raises(AssertionError, match="other ids"):
        tokens.rates(base, MODEL, long_rows(base, 8, 0), [1], 2)
    assert os.sched_getaffinity(0) == before
