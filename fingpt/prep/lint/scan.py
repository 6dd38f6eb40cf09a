"""Leaks by effect: whatever in a row goes with its label, of whatever name, more than chance and markets allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fingpt.prep.lint.cases import Cases, all_cases, finding, percent, scored
from fingpt.prep.lint.digits import Told, columns_of, score_by_remainder, told_by_remainders
from fingpt.prep.lint.effect import (
    DRAWS,
    LEAST_ROWS,
    Association,
    Target,
    associated,
    associated_words,
    score_alone,
    target_of,
)
from fingpt.prep.lint.features import (
    Feature,
    Seen,
    Word,
    all_lengths,
    length_features,
    news_features,
    number_features,
    order_features,
    period_features,
    rows_of,
    words_of,
)
from fingpt.prep.lint.spill import Ints
from fingpt.runs.manifest import Finding

STRONG = 0.2
"""A rank correlation within weeks that no honest figure of a market has: good factors reach 0.05."""

TELLING_NEWS = 0.9
"""A word of the news that, there or not, is right in so many of all rows is no news. (The sample's planted signal, far
above any real one, gives .81.)"""

_SHOWN = 4


def by_effect(cases: Cases, places: Ints, known_cap: bool) -> Iterator[Finding]:
    """Findings about numbers, their digits, ratios, order, period, lengths and words; none for fewer than 30 rows.

    `places`: of each row in its source. `known_cap`: market capitalisation is an error already.
    """
    rows = all_cases(cases)
    if len(rows) < LEAST_ROWS:
        return
    target = target_of(rows)
    seen = Seen(len(rows))
    for case in rows:
        seen.see(case)
    lengths = length_features(seen)
    features = [
        *number_features(rows, seen, known_cap),
        *order_features(rows, places),
        *period_features(rows),
        *lengths,
        *news_features(seen),
    ]
    hits = associated((each.values for each in features), len(features), target)
    by_rule: dict[str, list[tuple[Feature, Association]]] = {}
    for hit in hits:
        feature = features[hit.feature]
        by_rule.setdefault(feature.rule, []).append((feature, hit))
    for found in by_rule.values():
        yield from _numbers(cases, found, target)
    numbers = columns_of(rows, seen.written, all_lengths(seen, lengths))
    if odd := told_by_remainders(numbers, target):
        yield from _digits(cases, odd, target)
    words = words_of(seen)
    hits = associated_words(rows_of(seen, words), len(words), target)
    told = [(words[hit.feature], hit) for hit in hits]
    for news in (False, True):
        same = [each for each in told if each[0].news == news]
        if same:
            yield from _words(cases, same, next(rows_of(seen, [same[0][0]])), target)


def _numbers(
    cases: Cases, found: Sequence[tuple[Feature, Association]], target: Target
) -> Iterator[Finding]:
    feature, hit = found[0]
    present, right = score_alone(feature.values, target)
    severity = "error" if abs(hit.correlation) >= STRONG else "warning"
    text = (
        f"'{feature.name}' goes with the label: rank correlation within weeks {hit.correlation:+.2f}, "
        f"{_chance(hit)}; alone it is right in {percent(right.mean())} of the rows that have it (weeks held out)."
        f"{_more([each.name for each, _ in found[1:]])}"
    )
    yield from _by_split(cases, feature.rule, severity, text, present, right)


def _digits(cases: Cases, found: Sequence[Told], target: Target) -> Iterator[Finding]:
    told = found[0]
    present, right = score_by_remainder(told, target)
    severity = "error" if told.correlation >= STRONG else "warning"
    others = dict.fromkeys(each.number for each in found if each.number != told.number)
    text = (
        f"'{told.name}', goes with the label: it tells {percent(told.share)} of the ranks within weeks, "
        f"{_chance(told)}; "
        f"alone it is right in {percent(right.mean())} of the rows that have it (weeks held out).{_more(list(others))}"
    )
    yield from _by_split(cases, "digits-tell-label", severity, text, present, right)


def _words(
    cases: Cases, found: Sequence[tuple[Word, Association]], rows: Ints, target: Target
) -> Iterator[Finding]:
    word, hit = found[0]
    has = np.zeros(len(target.up))
    has[rows] = 1
    everywhere = score_alone(has, target)[1]
    present = has > 0
    right = everywhere[present]
    leak = everywhere.mean() >= TELLING_NEWS if word.news else abs(hit.correlation) >= STRONG
    where = "of the news" if word.news else "outside the news"
    text = (
        f"'{word.name}' {where} goes with the label: rank correlation within weeks {hit.correlation:+.2f}, "
        f"{_chance(hit)}; alone it is right in {percent(right.mean())} of the rows that have it (weeks held out)."
        f"{_more([each.name for each, _ in found[1:]])}"
    )
    if not leak and word.news:
        text += " That may be what the news are for, or a trace of the outcome: read some of these rows."
    severity = "error" if leak else "warning"
    yield from _by_split(cases, "words-tell-label", severity, text, present, right)


def _by_split(
    cases: Cases,
    rule: str,
    severity: str,
    text: str,
    present: NDArray[np.bool_],
    right: NDArray[np.bool_],
) -> Iterator[Finding]:
    """A finding for each split that has rows which the leak touches (`present`), `right` being of these alone."""
    was_right = np.zeros(len(present), np.bool_)
    was_right[present] = right
    start = 0
    for split, part in cases.items():
        stop = start + len(part)
        hits = [case for case, has in zip(part, present[start:stop], strict=True) if has]
        if hits:
            found = finding(rule, severity, split, hits, len(part), text)
            yield scored(found, was_right[start:stop][present[start:stop]].tolist())
        start = stop


def _chance(hit: Association | Told) -> str:
    least = hit.p <= 1 / (1 + DRAWS)
    return f"chance {'below' if least else 'about'} {percent(hit.p)} among all that was looked at"


def _more(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f" So do {shown}{f' and {more} more' if more > 0 else ''}."
