"""The published rows and two tuned models' real answers: ties, no skill, and the leak in the rows named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingpt.eval.external import forecasts, read_matched
from fingpt.prep.importer import normalize
from fingpt.prep.lint import lint
from fingpt.report.alone import _arrays
from fingpt.report.baselines import baselines
from fingpt.report.clusters import Weeks
from fingpt.report.lines import Variant
from fingpt.report.skill import skills
from fingpt.report.table import tables
from fingpt.report.verdict import Verdict
from fingpt.rows.raw_rows import RawRow
from fingpt.storage import open_store
from tests.report.draws import _template
from tests.report.world import COLUMNS


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    """The test examples, and a side for each of the two models, without the findings about the rows."""
    store = open_store(tmp_path_factory.mktemp("store").as_uri())
    sides, examples = [], []
    for name in ("llama31", "deepseek-r1"):
        answers = real_data / "generations" / f"{name}-finetuned.parquet"
        scratch = tmp_path_factory.mktemp(name)
        matched = read_matched(answers, str(real_data / "test.parquet"), store, scratch)
        examples = [normalize(RawRow("test", "t", 1, one.values)) for one in matched]
        rows = _arrays(examples, *forecasts([one.pair for one in matched]))
        rows = replace(
            rows,
            nll=rows.truth * 0 + 1,
            answer_tokens=rows.truth * 0 + 1,
            rouge=dict.fromkeys(COLUMNS, rows.valid * 0.4),
        )
        sides.append(replace(_template(), title=name, arrays={"tuned": rows}))
    return examples, sides


def test_two_tuned_models_tie_in_every_forecast_and_neither_has_skill(real):
    examples, sides = real
    found = {line.key: line.comparisons[0] for line in tables(sides).lines}
    for key in ("accuracy", "accuracy_read", "accuracy_excess", "mse", "mse_read"):
        assert found[key].verdict in (Verdict.NO_DIFFERENCE, Verdict.EQUIVALENT), key
    weeks = Weeks.of(sides[0].tuned.week)
    models = [(side.title, Variant.of([side.tuned], weeks), "") for side in sides]
    judged = skills(models, baselines(examples, []))
    assert {its.verdict for its in judged} == {Verdict.NO_SKILL}


@pytest.mark.slow  # the whole linter over 300 real rows
def test_the_rows_leak_at_69_percent_and_every_verdict_on_forecasts_is_blocked(real):
    examples, sides = real
    findings = lint({"test": examples})
    canary = next(finding for finding in findings if finding.rule == "market-cap-canary")
    assert canary.score == pytest.approx(0.69, abs=0.001)
    leaky = [
        replace(side, dataset=side.dataset.model_copy(update={"findings": findings}))
        for side in sides
    ]
    found = {line.key: line.comparisons[0] for line in tables(leaky).lines}
    for key in ("accuracy", "accuracy_excess", "mse", "loss"):
        assert found[key].why.startswith("leak ("), key
