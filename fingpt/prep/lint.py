"""The leak linter, version 1: every rule over a split data set, as typed findings with count, example and severity.

Severities: `error` makes a score on these rows worth nothing as evidence of skill, `warning` deserves a look before
anyone trusts a score, `info` is context. The linter never changes or drops a row and never fails a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fingpt.prep import lint_cap, lint_leaks, lint_text
from fingpt.prep.cases import Case
from fingpt.prep.facts import facts
from fingpt.prompts.examples import Example
from fingpt.runs.manifest import Finding

VERSION = 1

RULES = (
    lint_cap.constant_market_cap,
    lint_cap.market_cap_canary,
    lint_leaks.early_fundamentals,
    lint_cap.truncated_last_week,
    lint_leaks.recoverable_labels,
    lint_leaks.overlapping_weeks,
    lint_text.duplicates,
    lint_text.template_tags,
    lint_text.wrong_asset_word,
    lint_text.answers,
    lint_text.balance,
)

SEVERITIES = ("error", "warning", "info")


def lint(parts: Mapping[str, Sequence[Example]]) -> tuple[Finding, ...]:
    """All findings over `parts` (split → examples), the gravest first; a rule that finds nothing gives none."""
    cases = {
        split: tuple(Case(example, facts(example)) for example in part)
        for split, part in parts.items()
        if part
    }
    found = (finding for rule in RULES for finding in rule(cases))
    return tuple(sorted(found, key=lambda item: SEVERITIES.index(item.severity)))
