"""The top of a report names what was asked by what answered it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingpt.prompts.examples import LABELS
from fingpt.report.compose import compose
from fingpt.report.probabilities import outcome
from fingpt.report.verdict import Verdict


def with_labels(side, strength):
    logp = np.zeros((side.tuned.n, len(LABELS)))
    logp[np.arange(side.tuned.n), outcome(side.tuned).astype(int)] = strength
    return replace(side, arrays={**side.arrays, "tuned": replace(side.tuned, label_logp=logp)})


@pytest.mark.parametrize(
    ("strengths", "word"),
    [
        ((3.0, 0.0), Verdict.BETTER.label),
        ((1.0, 1.0), Verdict.EQUIVALENT.label),
        ((None, None), "direction"),
    ],
)
def test_the_title_speaks_of_the_metric_that_answered_the_primary_question(pair, strengths, word):
    sides = [
        side if strength is None else with_labels(side, strength)
        for side, strength in zip(pair.sides, strengths, strict=True)
    ]
    report = compose(sides, pair.test, pair.train, {})
    heads = {sentence.question: sentence for sentence in report.headline}
    noun = "direction" if strengths[0] is None else "label probabilities"
    assert word in report.title
    assert f"in {noun}" in report.title
    assert ("direction" in report.title) == (noun == "direction")
    told = heads[f"{noun.capitalize()} (the primary question)"]
    assert ("log-loss of the twelve labels" in told.text) == (noun != "direction")
    if noun != "direction":
        assert "log-loss" not in heads["Direction"].text
