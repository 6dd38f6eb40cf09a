import re

import pytest

from fingpt.prep.charts import draw


@pytest.fixture
def parts(example):
    labels = ("up by 2-3%", "down by more than 5%", "up by 0-1%")
    rows = [example(s, n, labels[n % 3]) for n in range(12) for s in ("AAA", "BBB")]
    return {"train": rows[:18], "validation": [], "test": rows[20:]}


def test_charts_are_svg_in_the_colours_of_the_page_and_the_same_every_time(parts):
    drawn = draw(parts)
    assert set(drawn) == {"balance", "labels", "prompts", "answers"}
    for svg in drawn.values():
        assert svg.startswith("<svg")
        assert 'fill="currentColor"' in svg
        assert "<script" not in svg
        assert not re.search(r"href|url\(http", svg)
    assert draw(parts) == drawn


def test_one_row_is_enough_to_draw(parts):
    assert draw({"train": parts["train"][:1], "validation": [], "test": []})
