"""Columns in a file have the cells that were put in, whole rows or few."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from fingpt.prep.lint import columns as module
from fingpt.prep.lint import spill
from fingpt.prep.lint.columns import Columns


@pytest.fixture
def rows() -> list[dict[str, int]]:
    rng = random.Random(4)
    return [
        {f"n{place}": rng.randrange(-5, 10**17) for place in range(40) if rng.random() < place / 40}
        for _ in range(300)
    ]


@pytest.mark.parametrize(("cells", "at_once"), [(1, 1 << 18), (900, 64), (1 << 19, 1 << 18)])
def test_columns_are_read_as_they_were_written(
    rows: list[dict[str, int]], cells: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CELLS", cells)
    monkeypatch.setattr(spill, "AT_ONCE", at_once)
    table = Columns[str](30, np.int64)
    for row in rows:
        table.add(row)
    heads = table.heads()
    counts = Counter(name for row in rows for name in row)
    assert {head.name: head.count for head in heads} == {
        name: count for name, count in counts.items() if count > 29
    }
    assert 0 < len(heads) < len(counts)
    first = list(dict.fromkeys(name for row in rows for name in row if counts[name] > 29))
    assert [head.name for head in heads] == first
    backwards = heads[::-1]
    for head, (where, numbers) in zip(backwards, table.read(backwards), strict=True):
        assert where.tolist() == [place for place, row in enumerate(rows) if head.name in row]
        assert numbers.tolist() == [row[head.name] for row in rows if head.name in row]


def test_columns_without_numbers_know_their_rows(rows: list[dict[str, int]]) -> None:
    table = Columns[str](30, None)
    for row in rows:
        table.add(frozenset(row))
    for head, (where, _) in zip(table.heads(), table.read(table.heads()), strict=True):
        assert where.tolist() == [place for place, row in enumerate(rows) if head.name in row]
