"""Pages: one file without network or scripts, escaped, complete, the same every time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fingpt.report.compose import compose, forecast_label
from fingpt.report.document import Report
from fingpt.report.inputs import read_runs
from fingpt.report.render import cell, embeddable, render, report_id
from fingpt.report.verdict import Verdict


def report_of(world, *plans, models=("llama31", "deepseek-r1", "tiny-llama31")):
    ids = [world.add(model, plan) for model, plan in zip(models, plans, strict=False)]
    reading = read_runs(world.store, ids)
    return compose(reading.sides, reading.test, reading.train, reading.inputs)


class Page(HTMLParser):
    """Collects tags, attributes and the embedded JSON."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.json, self._script = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        names = dict(attrs)
        self.links += [names[k] for k in ("src", "href", "xlink:href", "action") if k in names]
        self._script = tag == "script"
        assert tag != "script" or names["type"] == "application/json"
        assert not [name for name in names if name.startswith("on")]

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        self.json += data if self._script else ""


@pytest.fixture(scope="module")
def report(pair):
    return compose(pair.sides, pair.test, pair.train, pair.inputs)


@pytest.fixture(scope="module")
def rendered(report):
    return render(report)


def test_the_page_needs_no_network_and_no_scripts(rendered):
    text = rendered["report.html"].decode()
    page = Page(text)
    assert page.links == []
    assert page.tags.count("script") == 1
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_the_embedded_json_is_the_whole_report(report, rendered):
    files = rendered
    embedded = json.loads(Page(files["report.html"].decode()).json)
    assert embedded == json.loads(files["report.json"])
    assert Report.model_validate(embedded).table == report.table


def test_same_runs_same_bytes_and_the_id_follows_the_content(report, rendered):
    assert render(report) == rendered
    assert report_id(render(report.model_copy(update={"title": "another"}))) != report_id(rendered)


def test_every_chart_has_a_drawing_words_and_its_numbers(rendered):
    text = rendered["report.html"].decode()
    charts = re.findall(r'<figure id="chart-([a-z0-9-]+)">(.*?)</figure>', text, re.DOTALL)
    names = [name for name, _ in charts]
    assert names == [
        "loss",
        "speed",
        "rouge",
        "mse",
        "accuracy",
        "differences",
        "bins-1",
        "bins-2",
        "time",
    ]
    for name, body in charts:
        assert "<svg" in body, name
        assert "currentColor" in body, name
        assert len(re.search(r'role="img" aria-label="([^"]+)"', body)[1]) > 20, name
        assert body.count("<tr>") > 1, name


EVIL = "</script><script>alert(1)</script> | <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def leaky(tmp_path_factory, world_in, plan):
    """Warnings and files of a report on a leaky split, with hostile text in its title and in a warning."""
    world = world_in(tmp_path_factory.mktemp("leaky"), leaky=True)
    report = report_of(world, plan(), plan(seed=2))
    evil = report.model_copy(update={"title": EVIL, "warnings": (*report.warnings, EVIL)})
    return report.warnings, render(evil)


def test_a_leaky_split_is_the_first_thing_on_the_page(leaky):
    warnings, files = leaky
    assert warnings[0].startswith("LEAKY SPLIT")
    assert "constant-market-cap" in warnings[1]
    body = files["report.html"].decode().split("<body>")[1]
    assert body.index("LEAKY SPLIT") < body.index("<h1>")
    assert files["report.md"].decode().startswith("> **Warning:** LEAKY SPLIT")


def test_hostile_text_stays_text(leaky):
    _, files = leaky
    page = Page(files["report.html"].decode())
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert "one value &lt;b&gt;per" in files["report.html"].decode()
    assert json.loads(page.json)["title"] == EVIL
    assert not re.search(r"(?<!\\)<", files["report.md"].decode())


def test_a_single_run_of_three_weeks_says_what_it_cannot_say(make_world, plan):
    report = report_of(make_world(weeks=3, symbols=4), plan(base=False), models=("tiny-llama31",))
    text = render(report)["report.html"].decode()
    assert "Only 12 test rows of 3 week(s)" in report.warnings[0]
    assert "Tiny stand-in" in report.warnings[1]
    assert "scores of one run" in text
    assert "base was not evaluated" in text


def test_three_models_are_each_compared_with_the_first(world, plan):
    report = report_of(world, plan(), plan(seed=2), plan(seed=3, right=0.9))
    assert {len(line.comparisons) for line in report.table} == {2}
    assert "tiny Llama-3.1 forecasts direction better" in report.title
    assert b"chart-bins-3" in render(report)["report.html"]


def test_nothing_was_read_still_makes_a_report(world, plan):
    report = report_of(world, plan(unread=1.0, base=False), plan(unread=1.0, base=False))
    found = {line.key: line.comparisons[0] for line in report.table}
    assert (
        found["accuracy_read"].phrase == f"{Verdict.NOT_COMPARABLE.label}: no answer could be read"
    )
    assert found["accuracy"].verdict == Verdict.NO_DIFFERENCE
    assert b"not read" in render(report)["report.json"]


def test_the_markdown_tables_are_whole(rendered):
    text = rendered["report.md"].decode()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [re.sub(r"\\\|", "", row).count("|") for row in block.splitlines()]
        assert len(set(rows)) == 1, block[:200]
    assert "## The six metrics" in text


def test_forecasts_are_counted_in_bins_or_under_what_they_lack():
    moves = (0.5, -5.5, 2.0, -7.0, 0.0)
    assert [forecast_label(np.sign(move), move) for move in moves] == [
        "up by 0-1%", "down by more than 5%", "up by 1-2%", "down by more than 5%", "no change",
    ]  # fmt: skip
    nan = float("nan")
    assert forecast_label(nan, nan) == "not read"
    assert [forecast_label(way, nan) for way in (1, -1)] == [
        "up without a size",
        "down without a size",
    ]


def test_embedding_and_cells_escape_what_would_be_obeyed():
    assert json.loads(embeddable('{"a":"</script>&\u2028"}')) == {"a": "</script>&\u2028"}
    assert "<" not in embeddable("<!-- <script>")
    assert cell("a|b\n<i>") == "a\\|b \\<i\\>"
