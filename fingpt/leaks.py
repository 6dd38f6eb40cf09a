"""The table of faults that the leak linter can find in rows: what each spoils, and what a person can do about it.

The rules themselves are `fingpt.prep.lint`'s; this table is what the configuration, the data set's page and the report
need to know of them. A new rule is one entry here and one function there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fingpt.errors import nearest

Touched = Literal["forecast", "text"]
"""`forecast`: direction, size, probabilities and loss; `text`: likeness to the reference answers (ROUGE)."""

FORECAST: tuple[Touched, ...] = ("forecast",)
BOTH: tuple[Touched, ...] = ("forecast", "text")


@dataclass(frozen=True, slots=True)
class Fault:
    """What a fault of the rows spoils (nothing: it is context), and `advice`: what to do about it, as a sentence.

    `canary`: a forecast from this alone is no forecast, so being right above chance spoils the rows at any severity.
    Words of the news are none: they may tell what happens next, which is what a forecaster reads them for.
    """

    touches: tuple[Touched, ...] = ()
    advice: str = ""
    canary: bool = False


_REBUILD = "Build the prompts anew from what was known on the day that the forecast was due."
_SPLIT = "Split by calendar with an embargo: prep.split=calendar."

FAULTS: dict[str, Fault] = {
    "market-cap-constant": Fault(FORECAST, f"Take the sentence out of the prompts. {_REBUILD}"),
    "market-cap-canary": Fault(
        FORECAST, f"Take the sentence out of the prompts. {_REBUILD}", canary=True
    ),
    "number-tells-label": Fault(
        FORECAST, f"Take the number out of the prompts. {_REBUILD}", canary=True
    ),
    "digits-tell-label": Fault(
        FORECAST,
        f"Take the number out of the prompts, or number rows in an order that knows no outcome. {_REBUILD}",
        canary=True,
    ),
    "ratio-tells-label": Fault(
        FORECAST, f"Take one of the two numbers out. {_REBUILD}", canary=True
    ),
    "words-tell-label": Fault(FORECAST, f"Take the words out of the prompts. {_REBUILD}"),
    "order-tells-label": Fault(
        FORECAST,
        "Write the rows in an order that knows no outcome, such as week and symbol.",
        canary=True,
    ),
    "period-tells-label": Fault(
        FORECAST, "Give every row of a week the same period, whatever came of it.", canary=True
    ),
    "length-tells-label": Fault(
        FORECAST,
        "Build all prompts alike, whatever came of the week: same parts, same marks, same number of items.",
    ),
    "news-after-as-of": Fault(
        FORECAST, "Keep only the news published before the day that the forecast was due."
    ),
    "target-in-news": Fault(
        FORECAST, "Keep only the news published before the day that the forecast was due."
    ),
    "prediction-in-prompt": Fault(FORECAST, "Take the forecast out of the prompts."),
    "answer-in-prompt": Fault(BOTH, "Take the answers' text out of the prompts."),
    "near-duplicate-in-train": Fault(BOTH, f"Keep one of each pair. {_SPLIT}"),
    "duplicate-question": Fault(BOTH, "Keep one row for each symbol and week."),
    "duplicate-headline": Fault(),
    "truncated-last-week": Fault(FORECAST, "Leave that week out, or build its labels anew."),
    "fundamentals-unknowable": Fault(
        FORECAST, "Date fundamentals by the day that they were filed, not by the period's end."
    ),
    "fundamentals-maybe-ahead": Fault(
        FORECAST, "Date fundamentals by the day that they were filed, not by the period's end."
    ),
    "label-in-later-prompt": Fault(advice=_SPLIT),
    "label-contradicts-prices": Fault(FORECAST, "Build the labels anew from the prices."),
    "test-label-in-train-prompt": Fault(FORECAST, _SPLIT),
    "weeks-overlap": Fault(FORECAST, _SPLIT),
    "no-embargo": Fault(FORECAST, _SPLIT),
    "template-tags-in-text": Fault(),
    "wrong-asset-word": Fault(),
    "prediction-line-restored": Fault(),
    "label-disagrees-with-answer": Fault(
        BOTH, "Make the answer's prediction line and the label say the same."
    ),
    "prediction-line-outside-grammar": Fault(),
    "answer-with-hindsight": Fault(advice="Build the rows with hindsight: false."),
    "label-balance": Fault(),
    "few-test-weeks": Fault(),
}
"""Rule → its fault, for every rule that the linter has."""


def checked_allowances(allowed: dict[str, str]) -> dict[str, str]:
    """`allowed` (rule → reason) as it is; ValueError where a rule is none of the linter's or has no reason."""
    for rule, reason in allowed.items():
        if rule not in FAULTS:
            raise ValueError(
                f"prep.allow_leaks: '{rule[:80]}' is no rule of the leak linter; {nearest(rule, FAULTS)}"
            )
        if not reason.strip():
            raise ValueError(
                f"prep.allow_leaks.{rule} needs a reason, which every report then shows"
            )
    return allowed
