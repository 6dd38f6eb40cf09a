from __future__ import annotations

import random

import numpy as np
import pytest

from fingpt.prep.lint import shingles as module
from fingpt.prep.lint.shingles import shingles


@pytest.fixture
def texts() -> list[str]:
    """Texts of few words, so that many share their runs; some have no run at all."""
    rng = random.Random(3)
    return [" ".join(rng.choices("abcdefgh", k=rng.randrange(12))) for _ in range(600)]


def test_texts_have_the_same_shingles_alone_and_among_many(texts: list[str]) -> None:
    assert len(texts) > module._AT_ONCE
    whole = shingles(texts, 3)
    for text, own in zip(texts, whole.sets(), strict=True):
        assert (shingles([text], 3).hashes == own).all()
        assert len(own) == len(
            {tuple(text.split()[i : i + 3]) for i in range(len(text.split()) - 2)}
        )


def test_what_is_left_out_is_what_stands_nowhere_else(texts: list[str]) -> None:
    whole = shingles(texts, 3)
    among = np.unique(whole.hashes)[::7]
    kept = np.isin(whole.hashes, among)
    part = shingles(texts, 3, among)
    assert (part.hashes == whole.hashes[kept]).all()
    assert (part.owner == whole.owner[kept]).all()
    assert 0 < kept.sum() < len(kept)
    assert len(shingles(texts, 3, among[:0]).hashes) == 0
