"""Which errors may pass, and the refusal of all others."""

from __future__ import annotations

from collections.abc import Sequence

from fingpt.config import PrepConfig
from fingpt.errors import DataError
from fingpt.runs.manifest import Finding

_OF_A_RANDOM_SPLIT = ("test-label-in-train-prompt", "weeks-overlap", "near-duplicate-in-train")


def allowed_leaks(config: PrepConfig) -> dict[str, str]:
    """Rule → reason why its errors may pass: those named, and what a random split brings where that was allowed."""
    random = config.split == "random" and config.allow_leaky_split
    of_split = dict.fromkeys(_OF_A_RANDOM_SPLIT, "prep.allow_leaky_split=true") if random else {}
    return {**of_split, **config.allow_leaks}


def refuse(findings: Sequence[Finding]) -> None:
    """Raise DataError where an error was not allowed, with what each is and the setting that would allow it."""
    errors = [each for each in findings if each.severity == "error" and not each.allowed]
    if not errors:
        return
    rules = list(dict.fromkeys(each.rule for each in errors))
    named = ", ".join(f"{rule} ({_where(errors, rule)})" for rule in rules)
    settings = " ".join(f"prep.allow_leaks.{rule}=known" for rule in rules)
    raise DataError(
        f"The rows leak: {named}. The log above says what to do about each. To go on with these rows nevertheless, "
        f"give a reason in place of 'known': SET=\"{settings}\"; the report then prints the numbers, without verdicts "
        "on them."
    )


def _where(errors: Sequence[Finding], rule: str) -> str:
    parts = []
    for each in errors:
        if each.rule == rule:
            alone = "" if each.score is None else f", alone right in {100 * each.score:.1f} %"
            parts.append(f"{each.count} of {each.of} {each.split} rows{alone}")
    return "; ".join(parts)
