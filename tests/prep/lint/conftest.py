"""Invented rows without any leak, and ways to put one in."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date

import pytest

from fingpt.prep.importer import normalize
from fingpt.prep.lint import lint
from fingpt.prompts.examples import Example
from fingpt.rows.raw_rows import RawRow
from fingpt.runs.manifest import Finding
from fingpt.synthetic.rows import rows_by_company
from fingpt.synthetic.text import SAMPLE_COMPANIES

Columns = dict[str, str]
World = dict[str, list[Columns]]

TRAIN_WEEKS, TEST_WEEKS = 12, 6


def honest_rows(seed: int = 1) -> World:
    """Rows of twelve companies whose news say nothing about the week to come, by week, a week between the splits."""
    table = rows_by_company(
        SAMPLE_COMPANIES, seed, date(2031, 1, 5), TRAIN_WEEKS + 1 + TEST_WEEKS, telling=False
    )
    by_week = [[row.columns() for row in week] for week in zip(*table, strict=True)]
    return {
        "train": [row for week in by_week[:TRAIN_WEEKS] for row in week],
        "test": [row for week in by_week[TRAIN_WEEKS + 1 :] for row in week],
    }


def examples(rows: Sequence[Columns]) -> list[Example]:
    """Rows as the importer takes them."""
    found = [normalize(RawRow("x", "x.jsonl", n, row)) for n, row in enumerate(rows, start=1)]
    assert all(isinstance(each, Example) for each in found), found
    return found  # type: ignore[return-value]


def findings(world: World) -> tuple[Finding, ...]:
    """What the linter finds in rows whose order is their source's."""
    return lint({split: examples(rows) for split, rows in world.items()})


def relabelled(world: World, seed: int) -> World:
    """The same questions with labels and answers dealt anew among the rows of each week."""
    rng = random.Random(seed)
    dealt: World = {}
    for split, rows in world.items():
        weeks: dict[str, list[Columns]] = {}
        for row in rows:
            weeks.setdefault(row["period"], []).append(row)
        dealt[split] = [
            {**row, "label": other["label"], "answer": other["answer"]}
            for week in weeks.values()
            for row, other in zip(week, rng.sample(week, len(week)), strict=True)
        ]
    return dealt


@pytest.fixture(scope="session")
def honest() -> Callable[[], World]:
    """A fresh copy of the honest rows at each call."""
    made = honest_rows()
    return lambda: {split: [dict(row) for row in rows] for split, rows in made.items()}
