"""Answers: reasons from the facts alone, and foreign ones that fit or are rejected."""

from __future__ import annotations

from datetime import date

import pytest

from fingpt.errors import DataError
from fingpt.eval.robust import robust
from fingpt.features.answers import fitted, import_answers
from fingpt.features.config import FeatureConfig
from fingpt.features.facts import facts
from fingpt.features.rationale import rationale
from fingpt.features.rows import Rejected
from fingpt.prompts.examples import LABELS, parse_label
from fingpt.sources.calendar import as_of

AT = as_of(date(2025, 5, 16))
GOOD = (
    "[Positive Developments]:\n1. Orders grow.\n\n[Potential Concerns]:\n1. Costs grow.\n\n"
    "[Prediction & Analysis]:\nPrediction: Up by 2-3%\nAnalysis: Orders matter more."
)


def test_a_rationale_knows_nothing_of_the_outcome_but_its_label(market) -> None:
    known = facts(market, "AAA", AT, FeatureConfig())
    texts = {rationale(known, label).replace(label.capitalize(), "LABEL") for label in LABELS}
    assert len(texts) == 1


@pytest.mark.parametrize("label", LABELS)
def test_a_rationale_is_read_by_the_project_s_own_parser(market, label) -> None:
    parsed = robust(rationale(facts(market, "BBB", AT, FeatureConfig()), label))
    assert parsed.ok
    assert parsed.margin == parse_label(label).margin
    assert all((parsed.pros, parsed.cons, parsed.analysis))


def test_a_rationale_without_any_fact_still_has_three_parts(world) -> None:
    world.flat("AAA", date(2025, 5, 1), date(2025, 5, 16))
    parsed = robust(rationale(facts(world.snapshot(), "AAA", AT, FeatureConfig()), "up by 0-1%"))
    assert parsed.ok
    assert "No figure or price" in parsed.pros


def test_a_fitting_answer_gets_the_outcome_s_label() -> None:
    assert fitted(GOOD, "up by 4-5%") == GOOD.replace("Up by 2-3%", "Up by 4-5%")
    assert fitted(f"  {GOOD}\n".replace("\n", "\r\n"), "up by 2-3%") == GOOD


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (GOOD.replace("Up by", "Down by"), "contradicts the outcome"),
        (GOOD.replace("Up by 2-3%", "higher"), "no label"),
        (GOOD.replace("[Potential Concerns]", "Concerns"), "not in three parts"),
        (GOOD.replace("Prediction: Up by 2-3%\n", ""), "not in three parts"),
        (GOOD.replace("1. Costs grow.", " "), "not in three parts"),
        (GOOD + "x" * 20_001, "too long"),
    ],
)
def test_an_answer_that_does_not_fit_is_rejected(answer, reason) -> None:
    with pytest.raises(Rejected, match=reason):
        fitted(answer, "up by 1-2%")


def test_answers_of_a_file_are_taken_by_symbol_and_day(tmp_path, market) -> None:
    path = tmp_path / "mine.csv"
    quoted = GOOD.replace('"', '""')
    path.write_text(f'symbol,as_of,answer\nAAA,2025-05-16,"{quoted}"\n', "utf-8")
    answers = import_answers(path)
    known = facts(market, "AAA", AT, FeatureConfig())
    assert answers(known, "up by 2-3%") == GOOD
    with pytest.raises(Rejected, match="contradicts"):
        answers(known, "down by 2-3%")
    with pytest.raises(Rejected, match="not in the file"):
        answers(facts(market, "BBB", AT, FeatureConfig()), "up by 2-3%")


def test_two_answers_for_one_row_are_refused_by_line(tmp_path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("symbol,as_of,answer\nAAA,2025-05-16,x\nAAA,2025-05-16T00:00,y\n", "utf-8")
    with pytest.raises(DataError, match="a second answer for AAA at 2025-05-16"):
        import_answers(path)
