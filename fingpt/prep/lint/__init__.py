"""The leak linter: every rule over a split data set, as typed findings with count, example, severity and score.

A new rule is one function in a file of this folder, from the cases of all splits to findings, one entry in `RULES` and
one in `fingpt/leaks.py`; raise `VERSION`. Severities: `error` makes a score on these rows worth nothing as evidence of
skill and stops prep unless the configuration allows it by name, `warning` deserves a look before anyone trusts a score,
`info` is context. The linter never changes or drops a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fingpt.prep.facts import Case
from fingpt.prep.lint.apart import overlapping_weeks, recoverable_labels
from fingpt.prep.lint.cases import all_cases
from fingpt.prep.lint.content import (
    answers,
    balance,
    duplicates,
    template_tags,
    wrong_asset_word,
)
from fingpt.prep.lint.copies import (
    answers_in_prompts,
    near_duplicates,
    predictions_in_prompts,
)
from fingpt.prep.lint.dated import news_after_as_of
from fingpt.prep.lint.lookahead import (
    constant_market_cap,
    early_fundamentals,
    market_cap_canary,
    truncated_last_week,
)
from fingpt.prep.lint.scan import by_effect
from fingpt.prep.lint.spill import Hashes, Ints, contained
from fingpt.prep.lint.targets import future_prices
from fingpt.prompts.examples import Example
from fingpt.runs.manifest import Finding

VERSION = 3

SEVERITIES = ("error", "warning", "info")

RULES = (
    constant_market_cap,
    market_cap_canary,
    early_fundamentals,
    truncated_last_week,
    recoverable_labels,
    overlapping_weeks,
    duplicates,
    template_tags,
    wrong_asset_word,
    answers,
    balance,
    news_after_as_of,
    future_prices,
    predictions_in_prompts,
    answers_in_prompts,
    near_duplicates,
)


def lint(
    parts: Mapping[str, Sequence[Example]],
    source: Mapping[str, Sequence[Example]] | None = None,
    allowed: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """All findings over `parts` (split → examples), errors first; a rule that finds nothing gives none.

    `source`: the rows in the order of their source, by its own splits, where that is known. `allowed`: rule → reason
    why its errors may pass.
    """
    cases = {split: tuple(map(Case, part)) for split, part in parts.items() if part}
    found = [each for rule in RULES for each in rule(cases)]
    known = any(each.rule == "market-cap-canary" and each.severity == "error" for each in found)
    found += by_effect(cases, _places(all_cases(cases), parts if source is None else source), known)
    reasons = allowed or {}
    named = [
        each.model_copy(update={"allowed": reasons[each.rule]})
        if each.severity == "error" and each.rule in reasons
        else each
        for each in found
    ]
    return tuple(sorted(named, key=lambda item: SEVERITIES.index(item.severity)))


def _places(rows: Sequence[Case], source: Mapping[str, Sequence[Example]]) -> Ints:
    """The place of each row in its source, the last where it stands there twice; its own where it is not there."""
    known = _short_ids(example for part in source.values() for example in part)
    order = np.argsort(known, kind="stable")
    wanted = _short_ids(case.example for case in rows)
    nearest = np.searchsorted(known[order], wanted, "right") - 1
    found = contained(wanted, known[order])
    return np.where(found, order[np.maximum(nearest, 0)], np.arange(len(rows)))


def _short_ids(examples: Iterable[Example]) -> Hashes:
    return np.fromiter((int(example.id[:16], 16) for example in examples), np.uint64)
