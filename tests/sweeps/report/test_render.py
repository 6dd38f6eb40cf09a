"""The page: complete in one file, the same numbers in three forms, its charts with their data."""

from __future__ import annotations

import json
import re

import pytest

from fingpt.report.render import cell
from fingpt.sweeps.report import render as rendering
from fingpt.sweeps.report.document import SweepReport
from fingpt.sweeps.report.render import drawn, render, report_id, sweep_charts


@pytest.fixture(scope="module")
def charts(report):
    return sweep_charts(report)


def test_the_answer_stands_first_and_in_all_forms(pages, report):
    assert f"<h1>{report.title}</h1>" in pages["sweep.html"]
    assert pages["sweep.md"].startswith(f"# {cell(report.title)}")
    assert json.loads(pages["sweep.json"])["title"] == report.title


def test_the_json_is_the_report_and_stands_in_the_page(pages, report):
    read = SweepReport.model_validate(json.loads(pages["sweep.json"]))
    assert read.model_copy(update={"id": ""}) == report
    embedded = pages["sweep.html"].split('id="report">')[1].split("</script>")[0]
    assert json.loads(embedded) == json.loads(pages["sweep.json"])


def test_the_page_needs_no_network_and_no_script_and_escapes_what_it_shows(pages):
    page = pages["sweep.html"]
    assert "A &lt;b&gt;note&lt;/b&gt; of freezing." in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert page.count("<script") == 1
    assert len(page) < 1_500_000


@pytest.mark.parametrize(
    "key", ["lead", "importance", "value", "coordinates", "time", "progress", "spent"]
)
def test_every_chart_is_there_with_its_data(pages, charts, key):
    found = [chart for chart in charts if chart.key.startswith(key)]
    assert len(found) == (2 if key in ("value", "coordinates", "time") else 1)
    for chart in found:
        assert f'id="chart-{chart.key}"' in pages["sweep.html"]
        assert chart.rows
        assert all(len(row) == len(chart.header) for row in chart.rows)
        assert "NaN" not in str(chart.svg)


def test_every_trial_is_a_line_of_the_time_chart(charts):
    chart = next(c for c in charts if c.key.startswith("time-llama31"))
    assert [row[0] for row in chart.rows] == [str(n) for n in range(40)]
    assert {row[3] for row in chart.rows} == {"complete", "pruned", "failed"}


def test_the_commands_that_go_on_from_here_are_named(pages, report):
    study = report.studies[0]
    assert study.command.count("llama31-") == 6
    first = study.command.split('"')[1].split()[0]
    assert first == next(f.run for f in study.finals if f.setting == "default")
    assert study.use in pages["sweep.md"].replace("\\", "")


def test_another_look_at_the_same_state_has_the_same_id(report, pages):
    assert report_id(render(report)) == json.loads(pages["sweep.json"])["id"]


def test_of_many_trials_some_are_drawn_the_best_among_them_and_the_page_says_so(
    report, monkeypatch
):
    assert drawn(report) == report
    monkeypatch.setattr(rendering, "MOST_DRAWN", 3)
    monkeypatch.setattr(rendering, "MOST_LISTED", 1)
    shown = drawn(report)
    for whole, few in zip(report.studies, shown.studies, strict=True):
        numbers = {trial.number for trial in few.trials}
        assert len(numbers) < len(whole.trials)
        assert {*whole.best} <= numbers
        assert few.counts == whole.counts
    files = render(report)
    page = files["sweep.html"].decode()
    assert "sweep.json has all of them" in page
    assert f"{len(report.inputs)} records were read" in page
    assert len(page) < len(render_whole(report, monkeypatch))
    all_of_them = json.loads(files["sweep.json"])
    assert [len(study["trials"]) for study in all_of_them["studies"]] == [
        len(study.trials) for study in report.studies
    ]
    assert len(all_of_them["inputs"]) == len(report.inputs)


def render_whole(report, monkeypatch) -> str:
    monkeypatch.setattr(rendering, "MOST_DRAWN", 10_000)
    return render(report)["sweep.html"].decode()
