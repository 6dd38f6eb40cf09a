from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from fingpt.prep.lint import shingles as module
from fingpt.prep.lint.shingles import Among, shared, shingles


@pytest.fixture
def texts() -> list[str]:
    """Texts of few words, so that many share their runs; some have no run at all."""
    rng = random.Random(3)
    return [" ".join(rng.choices("abcdefgh", k=rng.randrange(12))) for _ in range(600)]


def test_texts_have_the_same_shingles_alone_and_among_many(texts: list[str]) -> None:
    assert len(texts) > module._AT_ONCE
    whole = shingles(texts, 3)
    assert whole.sizes.sum() == whole.total
    for place, text in enumerate(texts):
        own = whole.of(place)
        assert (shingles([text], 3).of(0) == own).all()
        assert len(own) == whole.sizes[place]
        assert len(own) == len(
            {tuple(text.split()[i : i + 3]) for i in range(len(text.split()) - 2)}
        )


def test_what_other_texts_lack_is_mostly_left_out_and_what_they_have_never(
    texts: list[str],
) -> None:
    whole, some = shingles(texts, 3), shingles(texts[:9], 3)
    part = shingles(texts, 3, Among([some]))
    told = set(np.concatenate([some.of(place) for place in range(9)]).tolist())
    for place in range(len(texts)):
        own = set(whole.of(place).tolist())
        assert own & told <= set(part.of(place).tolist()) <= own
    assert 0 < part.total < whole.total / 2
    assert shingles(texts, 3, Among([])).total == 0


@pytest.mark.parametrize("most", [1, 3, 6])
def test_rare_shingles_are_those_of_few_texts(texts: list[str], most: int) -> None:
    whole = shingles(texts, 3)
    count = Counter(each for place in range(len(texts)) for each in whole.of(place).tolist())
    rare = whole.rare(most)
    for place in range(len(texts)):
        kept = [each for each in whole.of(place).tolist() if count[each] <= most]
        assert rare.of(place).tolist() == kept
    assert 0 < rare.total < whole.total


def test_shared_shingles_are_the_same_in_one_part_and_in_many(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def joined() -> list[tuple[int, int, int]]:
        parts = shared(shingles(texts[:200], 3), shingles(texts[200:], 3), 3)
        return sorted(
            each for part in parts for each in zip(*(a.tolist() for a in part), strict=True)
        )

    whole = joined()
    monkeypatch.setattr(module, "_JOINED", 50)
    assert joined() == whole != []


def test_memory_holds_no_more_of_four_times_as_many_texts() -> None:
    rng = random.Random(5)

    def held(count: int) -> int:
        texts = (" ".join(rng.choices("abcdefghijklmnop", k=400)) for _ in range(count))
        tracemalloc.start()
        rare = shingles(texts, 5).rare(6)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 8 * rare.total > 2_000 * count
        return peak

    few, many = held(600), held(2400)
    assert many - few < 1800 * 800  # a text has 3,200 bytes of shingles
