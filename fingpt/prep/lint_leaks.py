"""Rules of the leak linter about time: early fundamentals, labels told by later prompts, weeks that overlap.

Every rule is a pure function from the cases of all splits to findings. The measures behind the limits are named beside
them. Nothing is repaired here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fingpt.prep.cases import Case, Cases, finding
from fingpt.prep.facts import PastWeek, label_of
from fingpt.runs.manifest import Finding

UNKNOWABLE_DAYS = 10
"""No large US company reports a quarter within ten days of its end."""

FILING_DAYS = 40
"""Deadline of a large accelerated filer's quarterly report (SEC form 10-Q)."""

_CENT = 0.005  # prices are printed with two decimals


def early_fundamentals(cases: Cases) -> Iterator[Finding]:
    """Fundamentals of a fiscal period that had not ended, or that nobody had reported, when the forecast was due."""
    limits = (
        ("fundamentals-unknowable", "error", UNKNOWABLE_DAYS, "no company reports so soon"),
        ("fundamentals-maybe-ahead", "warning", FILING_DAYS, "the filing deadline had not passed"),
    )
    for split, part in cases.items():
        for rule, severity, days, why in limits:
            hits = [
                case
                for case in part
                if case.days_since_report is not None and case.days_since_report < days
            ]
            if hits:
                text = (
                    f"Fundamentals of a fiscal period that ended less than {days} days before the forecast was due "
                    f"({why}); by period end: {_by_fiscal_end(hits)}."
                )
                yield finding(rule, severity, split, hits, len(part), text)


def recoverable_labels(cases: Cases) -> Iterator[Finding]:
    """Labels that the prices in a later prompt of the same symbol give away, and those that they contradict."""
    heads: dict[tuple[str, str], tuple[PastWeek, set[str]]] = {}
    for split, part in cases.items():
        for case in part:
            for week in case.facts.weeks:
                key = (case.example.symbol, f"{week.start} to {week.end}")
                heads.setdefault(key, (week, set()))[1].add(split)
    for split, part in cases.items():
        told = [
            (c, *heads[k]) for c in part if (k := (c.example.symbol, c.example.period)) in heads
        ]
        agree = [case for case, week, _ in told if case.example.label in _labels(week, 0)]
        lined = sum("prediction-line-restored" not in case.example.notes for case in agree)
        if agree:
            text = (
                f"The label stands in a later prompt's price line: {len(agree)} of {len(told)} checkable labels equal "
                f"its bin ({lined} of them with a published prediction line). A random split would print answers in "
                "training prompts; a calendar split does not."
            )
            yield finding("label-in-later-prompt", "warning", split, agree, len(part), text)
        wrong = [c for c, week, _ in told if c.example.label not in _labels(week, _CENT)]
        if wrong:
            text = f"A later prompt's prices contradict the label in {len(wrong)} of {len(told)} checkable rows."
            yield finding("label-contradicts-prices", "error", split, wrong, len(part), text)
        leaked = [case for case, _, splits in told if split == "test" and "train" in splits]
        if leaked:
            text = "Test labels are printed as prices inside training prompts: the test measures memory, not skill."
            yield finding("test-label-in-train-prompt", "error", split, leaked, len(part), text)


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


def _labels(week: PastWeek, slack: float) -> set[str | None]:
    """Labels that the two prices can stand for when each is off by up to `slack`."""
    shifts = (-slack, 0.0, slack)
    return {label_of(week.price_start + a, week.price_end + b) for a in shifts for b in shifts}


def _by_fiscal_end(hits: Sequence[Case]) -> str:
    ends = Counter(case.facts.reported for case in hits)
    firms = {
        end: len({case.example.symbol for case in hits if case.facts.reported == end})
        for end in ends
    }
    shown = [f"{end}: {_rows(count)} of {_firms(firms[end])}" for end, count in ends.most_common(3)]
    more = len(ends) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"


def _firms(count: int) -> str:
    return f"{count} firm{'s' if count != 1 else ''}"
