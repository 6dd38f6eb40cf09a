"""Pages: one file without network or scripts, escaped, complete, the same every time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from fingpt.config import PrepConfig, RunConfig
from fingpt.report.clusters import Weeks
from fingpt.report.compose import compose, forecast_label
from fingpt.report.document import Report
from fingpt.report.inputs import read_runs
from fingpt.report.lines import Variant, draft
from fingpt.report.measures import MEASURES
from fingpt.report.render import cell, embeddable, render, report_id
from fingpt.report.verdict import Verdict
from fingpt.runs.freeze import freeze_source


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


def test_the_page_needs_no_network_and_no_scripts(rendered):
    text = rendered["report.html"].decode()
    page = Page(text)
    assert page.links[0] == "rows.html"
    assert all(link.startswith("data:text/csv;charset=utf-8,") for link in page.links[1:])
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
        "rouge",
        "mse",
        "accuracy",
        "differences",
        "bins-1",
        "bins-2",
        "loss",
        "speed",
        "time",
        "cutoffs",
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


def test_a_leak_stands_on_title_charts_and_json(leaky):
    _, files = leaky
    mark = "LEAKED DATA, NO EVIDENCE OF SKILL"
    told = json.loads(files["report.json"])
    assert told["watermark"] == mark
    text = files["report.html"].decode()
    charts = re.findall(r"<figure .*?</figure>", text, re.DOTALL)
    assert charts
    for chart in charts:
        assert f"<figcaption>{mark}: " in chart
        assert f">{mark}</text></svg>" in chart


def test_no_leak_no_watermark(report, rendered):
    assert report.watermark == ""
    assert b"NO EVIDENCE OF SKILL" not in rendered["report.html"]


def test_leaked_rows_are_compared_in_nothing_that_the_leak_touches(tmp_path, world_in, plan):
    report = report_of(world_in(tmp_path, leaky=True), plan(), plan(seed=2, right=0.9))
    assert report.title.startswith("LEAKED DATA, NO EVIDENCE OF SKILL: ")
    for line in (*report.table, *report.base_against_tuned[0].lines):
        words = {comparison.verdict for comparison in line.comparisons}
        assert words in ({Verdict.NOT_COMPARABLE}, {Verdict.NOTE}), line.key
    assert {its.verdict for its in report.skills} == {Verdict.NOT_COMPARABLE}
    assert report.table[0].comparisons[0].phrase.endswith(": leak (random split)")


@pytest.mark.usefixtures("undrawn")
def test_a_single_run_of_three_weeks_says_what_it_cannot_say(make_world, plan):
    report = report_of(make_world(weeks=3, symbols=4), plan(base=False), models=("tiny-llama31",))
    text = render(report)["report.html"].decode()
    assert "12 test rows of 3 weeks show no difference of any size" in report.warnings[0]
    assert "Tiny stand-in" in report.warnings[1]
    assert "scores of one run" in text
    assert "base was not evaluated" in text


@pytest.mark.parametrize("source", ["sample", "noise"])
def test_rows_that_were_invented_are_told_to_be_so(pair, store, source):
    frozen = freeze_source(store, RunConfig(model="tiny-llama31", prep=PrepConfig(source=source)))

    def warned(name):
        sides = [
            replace(side, dataset=side.dataset.model_copy(update={"source": name}))
            for side in pair.sides
        ]
        warnings = compose(sides, pair.test, pair.train, {}).warnings
        return any("invented companies" in text for text in warnings)

    assert warned(frozen.prep.source)
    assert not warned("raw/0123456789abcdef")


@pytest.mark.usefixtures("undrawn")
def test_three_models_are_compared_pair_by_pair(world, plan):
    report = report_of(world, plan(), plan(seed=2), plan(seed=3, right=0.9))
    assert {len(line.comparisons) for line in report.table} == {3}
    assert "tiny Llama-3.1 is better than DeepSeek-R1-Distill-Llama-8B in direction" in report.title
    assert b"chart-bins-3" in render(report)["report.html"]


def test_the_order_of_three_models_changes_neither_power_nor_what_is_told_of_it(world, plan):
    ids = [
        world.add(model, plan(seed=seed, right=right))
        for model, seed, right in (
            ("llama31", 1, 0.5),
            ("deepseek-r1", 2, 0.9),
            ("tiny-llama31", 3, 0.95),
        )
    ]
    found = []
    for order in (ids, ids[::-1], ids[1:] + ids[:1]):
        reading = read_runs(world.store, order)
        report = compose(reading.sides, reading.test, reading.train, reading.inputs)
        assert report.mcnemar_p is None  # of which two?
        found.append((report.power, sorted(report.title.split(". ")), sorted(report.warnings)))
    assert found[0] == found[1] == found[2]


def test_a_winner_that_does_not_beat_a_trivial_forecast_is_told_so(world, plan):
    """Right in half of the cases is better than in a fifth, and no skill; right in nearly all is one."""
    poor, fair, good = (
        world.add(model, plan(seed=seed, right=right, unread=0.0))
        for model, seed, right in (
            ("llama31", 1, 0.2),
            ("deepseek-r1", 2, 0.5),
            ("tiny-llama31", 3, 0.95),
        )
    )
    for winner, unskilled in ((fair, True), (good, False)):
        reading = read_runs(world.store, [poor, winner])
        report = compose(reading.sides, reading.test, reading.train, reading.inputs)
        assert report.headline[0].verdict is Verdict.BETTER
        told = "does not beat every trivial forecast in direction" in report.headline[0].text
        assert told == unskilled


def test_what_neither_model_has_is_undefined_for_both(world, plan):
    reading = read_runs(
        world.store, [world.add("llama31", plan()), world.add("deepseek-r1", plan(seed=2))]
    )
    metric = next(m for m in MEASURES.values() if "Matthews" in m.title)
    weeks = Weeks.of(reading.sides[0].tuned.week)
    logp = np.log(np.full((reading.sides[0].tuned.n, 12), 1 / 12))
    logp[:, -1] += 1  # "up", always
    always = Variant.of([replace(reading.sides[0].tuned, label_logp=logp)], weeks)
    assert draft(metric, [always, always], weeks.count, lambda i, j: "").differences == (
        "undefined for both",
    )


@pytest.mark.usefixtures("undrawn")
def test_nothing_was_read_still_makes_a_report(world, plan):
    report = report_of(world, plan(unread=1.0, base=False), plan(unread=1.0, base=False))
    found = {line.key: line.comparisons[0] for line in report.table}
    assert (
        found["accuracy_read"].phrase == f"{Verdict.NOT_COMPARABLE.label}: no answer could be read"
    )
    assert "0.0 % and 0.0 % of the answers can be read" in found["accuracy"].why
    assert b"not read" in render(report)["report.json"]


def test_swapping_two_models_changes_the_meaning_of_no_sentence(world, plan):
    """The title and every sentence are word for word the same, for a winner, a tie and a model that was left behind."""
    ids = [
        world.add("llama31", plan(loss=0.7)),
        world.add("deepseek-r1", plan(seed=2, right=0.85, rouge=0.2, train_seconds=200)),
    ]
    told = []
    for order in (ids, ids[::-1]):
        reading = read_runs(world.store, order)
        report = compose(reading.sides, reading.test, reading.train, reading.inputs)
        told.append((report.title, sorted(report.headline, key=lambda s: s.question)))
    assert {s.verdict for s in told[0][1]} >= {Verdict.BETTER, Verdict.NOTE}
    assert told[0] == told[1]


def test_a_verdict_of_one_seed_is_about_two_adapters(report, rendered):
    sentence = next(s for s in report.headline if s.question == "Tested")
    assert "about these adapters, not about the models" in sentence.text
    assert "One question (Binary accuracy, all answers, unread = wrong) at 96 %" in sentence.text
    assert b"about these adapters" in rendered["report.md"]


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


@pytest.mark.usefixtures("undrawn")
def test_a_group_of_lines_that_differ_says_of_each_line_which_way_is_better(report):
    loss, *rest = report.table
    turned = loss.model_copy(
        update={"key": "other", "title": "turned", "higher_is_better": not loss.higher_is_better}
    )
    text = render(report.model_copy(update={"table": (loss, turned, *rest)}))[
        "report.html"
    ].decode()
    rows = re.findall(r'<th [^>]*scope="(?:row|colgroup)"[^>]*>(.*?)</th>', text)
    named = [re.sub(r"<[^>]+>", "", row) for row in rows]
    assert "Loss" in named
    assert any("turned" in name and "(higher is better)" in name for name in named)
    assert any("loss on test answers" in name and "(lower is better)" in name for name in named)


@pytest.mark.usefixtures("undrawn")
def test_every_seed_has_its_own_line_among_the_loss_curves(world, plan):
    ids = [world.add("llama31", plan(run_seed=seed, seed=seed)) for seed in (1, 2, 3)]
    reading = read_runs(world.store, ids)
    made = compose(reading.sides, reading.test, reading.train, reading.inputs)
    steps = {point.member: 0 for point in made.curves}
    for point in made.curves:
        steps[point.member] += point.kind == "training"
    assert steps == {0: 60, 1: 60, 2: 60}
    assert made.title == "Llama-3.1-8B: scores of 3 runs"
    page = render(made)["report.html"].decode()
    (figure,) = re.findall(r'<figure id="chart-loss">.*?</figure>', page, re.DOTALL)
    assert "a line for each run" in figure
    assert "<td>3</td><td>training</td><td>60</td>" in figure
