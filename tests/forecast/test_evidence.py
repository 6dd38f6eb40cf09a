"""A run's skill in words, by the report's own judgement, and how its probabilities fared."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.errors import StorageError
from fingpt.forecast.evidence import LEAST_ROWS, Evidence, gather, verdict
from fingpt.forecast.shape import Shape
from fingpt.report.reliability import ReliabilityBin
from fingpt.report.skill import Lead, skill
from fingpt.report.stats import Estimate
from fingpt.report.verdict import Verdict
from fingpt.runs.run import Stage, dataset_prefix
from fingpt.runs.stage import finished


def lead(question: str, value: float, low: float | None, high: float | None = None) -> Lead:
    gain = Estimate(value=value, low=low, high=high, n=300, weeks=10)
    return Lead(question, [], "always “down by 0-1%”", gain, 0.9875, 1)


def test_a_model_that_does_not_beat_a_trivial_forecast_is_said_not_to():
    text = verdict([lead("direction", -0.021, -0.07, 0.03), lead("size", -1.2, -2.0, 0.1)])
    assert text == (
        "On 300 test rows of 10 weeks, none of them trained on, this model did not beat the simple rules in direction "
        "and size. Against the rule that was hardest to beat: direction, 2.1 points less often right than always “down "
        "by 0-1%” (range −7.0 to +3.0); size, 1.20 pp² more squared error than always “down by 0-1%” (range −2.00 to "
        "+0.10). A rule counts as beaten where the whole range, which allows for luck, is above 0; all of these ranges "
        "together are right 95 % of the time."
    )


def test_what_it_beats_is_said_too():
    text = verdict([lead("direction", 0.08, 0.02, 0.14), lead("size", -1.0, -2.0, 0.0)])
    assert (
        "did not beat the simple rules in size, but it beat every simple rule in direction." in text
    )
    assert (
        "direction, 8.0 points more often right than always “down by 0-1%” (range +2.0 to" in text
    )


@pytest.mark.parametrize(
    ("leads", "why", "words"),
    [
        ([lead("direction", 0.2, 0.1, 0.3)], "leak (random split)", "leak (random split)"),
        ([lead("direction", 0.2, None)], "", "10 test weeks; an interval needs 8"),
    ],
)
def test_a_leak_or_too_few_weeks_forbid_any_verdict(leads, why, words):
    assert verdict(leads, why) == (
        "On 300 test rows of 10 weeks, none of them trained on, this model shows nothing about its skill: "
        f"{words}."
    )


def test_the_words_are_the_report_s_verdict(monkeypatch):
    monkeypatch.setattr("fingpt.report.skill.superior_p", lambda *_: 0.5)
    for low, word in ((0.01, Verdict.BETTER), (-0.01, Verdict.NO_SKILL), (0.0, Verdict.NO_SKILL)):
        one = lead("direction", 0.02, low, 0.1)
        assert skill("m", one).verdict is word
        assert ("beat every simple rule" in verdict([one])) == (word is Verdict.BETTER)
    assert skill("m", lead("direction", 0.1, 0.05, 0.2), "leak").verdict is Verdict.NOT_COMPARABLE


def bins(*each: tuple[float, float, int]) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(
            forecast=chance,
            happened=Estimate(value=share, low=share - 0.1, high=share + 0.1, n=n, weeks=10),
            n=n,
        )
        for chance, share, n in each
    )


def evidence(*each: tuple[float, float, int]) -> Evidence:
    return Evidence("", None, "", Shape(frozenset(), frozenset()), bins(*each), 10)


def test_calibration_is_told_for_forecasts_like_this_one():
    known = evidence((0.3, 0.4, 50), (0.6, 0.5, 50))
    assert known.calibration(0.55) == (
        "On 100 test rows of 10 weeks its chances of a rise were wrong by 10.0 points on average. The 50 rows nearest "
        "to this one were given 60 %, and 50 % of them rose (95 % interval 40 to 60 %)."
    )
    assert "were given 30 %" in known.calibration(0.1)


def test_too_few_rows_say_nothing_of_calibration():
    assert "99 test rows of 10 weeks are too few" in evidence(
        (0.5, 0.5, LEAST_ROWS - 1)
    ).calibration(0.5)
    assert "scored no label probabilities" in evidence().calibration(0.5)


def test_what_is_gathered_is_the_run_s_own(world, evaluated):
    manifest = finished(world.store, evaluated, Stage.EVAL)
    found = gather(world.store, evaluated, manifest)
    assert found.temperature == manifest.scores["tuned"].label_temperature
    assert found.system == "You forecast."
    assert found.verdict.startswith(
        "On 7 test rows of 1 week, none of them trained on, this model shows nothing"
    )
    assert sum(one.n for one in found.bins) == 7
    assert np.isfinite([one.forecast for one in found.bins]).all()


def test_test_rows_that_were_changed_are_refused(world, evaluated, tmp_path):
    manifest = finished(world.store, evaluated, Stage.EVAL)
    path = tmp_path / "store" / dataset_prefix("invented") / "test.jsonl"
    path.chmod(0o644)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(StorageError, match=r"test\.jsonl"):
        gather(world.store, evaluated, manifest)
