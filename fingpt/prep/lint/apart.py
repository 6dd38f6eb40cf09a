"""Whether train and test are apart in time, and whether a later prompt tells an earlier label."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from fingpt.prep.facts import Case, PastWeek, label_of
from fingpt.prep.lint.cases import Cases, finding, scored
from fingpt.runs.manifest import Finding

_CENT = 0.005  # prices are printed with two decimals


def recoverable_labels(cases: Cases) -> Iterator[Finding]:
    """Labels that the prices in a later prompt of the same symbol give away, and those that they contradict."""
    heads: dict[tuple[str, date, date], PastWeek] = {}
    trained: set[tuple[str, date, date]] = set()
    for split, part in cases.items():
        for case in part:
            for week in case.facts.weeks:
                key = (case.example.symbol, week.start, week.end)
                heads.setdefault(key, week)
                if split == "train":
                    trained.add(key)
    for split, part in cases.items():
        told = [
            (case, heads[key], key in trained)
            for case in part
            if (key := (case.example.symbol, case.example.start, case.example.end)) in heads
        ]
        agree = [case for case, week, _ in told if case.example.label in _labels(week, 0)]
        lined = sum("prediction-line-restored" not in case.example.notes for case in agree)
        if agree:
            text = (
                f"The label stands in a later prompt's price line: {len(agree)} of {len(told)} checkable labels equal "
                f"its bin ({lined} of them with a published prediction line). A random split would print answers in "
                "training prompts; a calendar split does not."
            )
            # No score: a later prompt helps nobody who is asked one row at a time and was trained on earlier weeks.
            yield finding("label-in-later-prompt", "warning", split, agree, len(part), text)
        wrong = [c for c, week, _ in told if c.example.label not in _labels(week, _CENT)]
        if wrong:
            text = f"A later prompt's prices contradict the label in {len(wrong)} of {len(told)} checkable rows."
            yield finding("label-contradicts-prices", "error", split, wrong, len(part), text)
        seen = [each for each in told if split == "test" and each[2]]
        leaked = [case for case, _, _ in seen]
        if leaked:
            text = "Test labels are printed as prices inside training prompts: the test measures memory, not skill."
            found = finding("test-label-in-train-prompt", "error", split, leaked, len(part), text)
            yield scored(found, [_same_way(case, week) for case, week, _ in seen])


def overlapping_weeks(cases: Cases) -> Iterator[Finding]:
    """Training rows whose forecast week reaches into the test weeks, or touches them without an embargo."""
    test, train = cases.get("test", ()), cases.get("train", ())
    if not test or not train:
        return
    first = min(case.example.start for case in test)
    hits = [case for case in train if case.example.end > first]
    if hits:
        text = f"Training rows whose forecast week ends after the test weeks begin ({first})."
        yield finding("weeks-overlap", "error", "train", hits, len(train), text)
    close = [case for case in train if 0 <= (first - case.example.end).days < 7]
    if close:
        text = f"Training rows whose forecast week ends less than a week before the test weeks begin ({first})."
        yield finding("no-embargo", "info", "train", close, len(train), text)


def _same_way(case: Case, week: PastWeek) -> bool:
    """Whether the two prices go the way that the label says."""
    return (week.price_end + week.dividend >= week.price_start) == (case.example.margin > 0)


def _labels(week: PastWeek, slack: float) -> set[str | None]:
    """Labels that the two prices, and the dividend, can stand for when each price is off by up to `slack`."""
    shifts, end = (-slack, 0.0, slack), week.price_end + week.dividend
    return {label_of(week.price_start + a, end + b) for a in shifts for b in shifts}
