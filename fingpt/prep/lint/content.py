"""Faults of single rows: repeated questions and headlines, template marks, wrong words, importer's notes, balance."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from fingpt.prep.blocks import week_number
from fingpt.prep.facts import Case
from fingpt.prep.importer import DISAGREES, OUTSIDE_GRAMMAR, RESTORED
from fingpt.prep.lint.cases import Cases, all_cases, finding, scored
from fingpt.rows.raw_rows import HINDSIGHT
from fingpt.runs.manifest import Finding

FEW_WEEKS = 26
"""Below half a year of test weeks no realistic difference between two models can be shown: one market moves all."""

# Marks of the Llama-2, Llama-3 and DeepSeek templates; the last have full-width bars.
_TAGS = re.compile(
    r"\[/?INST\]|<</?SYS>>|</?s>|<\|[a-z0-9_]{1,40}\|>|<｜[^｜\n]{1,40}｜>|</?think>",
    re.IGNORECASE,
)


def duplicates(cases: Cases) -> Iterator[Finding]:
    """Rows that ask for the same symbol and week twice, and headlines that stand twice in one prompt."""
    asked: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in all_cases(cases):
        asked[case.example.symbol, case.example.period].append(case)
    for split, part in cases.items():
        groups = [(case, asked[case.example.symbol, case.example.period]) for case in part]
        hits = [case for case, group in groups if len(group) > 1]
        if hits:
            text = "Several rows ask for the same symbol and week, within a split or across splits."
            found = finding("duplicate-question", "error", split, hits, len(part), text)
            ups = [
                (c.example.margin > 0, o.example.margin > 0)
                for c, g in groups
                for o in g
                if o is not c
            ]
            yield scored(found, [one == other for one, other in ups])
        twice = [case for case in part if case.facts.repeated]
        if twice:
            total = sum(case.facts.headlines for case in part)
            extra = sum(case.facts.repeated for case in twice)
            text = (
                f"A headline stands twice in one prompt: {extra} of {total} headlines "
                f"({100 * extra / total:.1f} %) are repeats."
            )
            yield finding("duplicate-headline", "info", split, twice, len(part), text)


def template_tags(cases: Cases) -> Iterator[Finding]:
    """Chat template marks inside prompt text or answer: they are trained and shown as plain text."""
    for split, part in cases.items():
        hits, tags = [], set[str]()
        for case in part:
            if found := _TAGS.findall(f"{case.example.user}\n{case.example.answer}"):
                hits.append(case)
                tags.update(found)
        if hits:
            seen = ", ".join(sorted(tags)[:6])
            text = f"Template marks stand inside the text ({seen}); they are encoded as plain text, never as marks."
            yield finding("template-tags-in-text", "warning", split, hits, len(part), text)


def wrong_asset_word(cases: Cases) -> Iterator[Finding]:
    """A stock prompt that asks for the movement of something else, such as a cryptocurrency."""
    for split, part in cases.items():
        hits = [
            case
            for case in part
            if case.facts.asset not in (None, "stock", "share")
            and not case.example.symbol.endswith("-USD")
        ]
        if hits:
            words = ", ".join(sorted({f"'{case.facts.asset}'" for case in hits})[:3])
            text = f"The closing instruction of a stock prompt asks for the price movement of a {words}."
            yield finding("wrong-asset-word", "warning", split, hits, len(part), text)


def answers(cases: Cases) -> Iterator[Finding]:
    """What the importer noted: prediction lines restored, in disagreement with the label, outside its grammar."""
    noted = (
        (
            RESTORED,
            "warning",
            "The answer had no prediction line; the trained answer got it back from the label.",
        ),
        (
            DISAGREES,
            "error",
            "The answer's prediction line says something else than the label; both were kept.",
        ),
        (
            OUTSIDE_GRAMMAR,
            "warning",
            "The answer's prediction line is outside the label grammar; it was kept.",
        ),
        (
            HINDSIGHT,
            "warning",
            "Who wrote the answer was told what came of the week: likeness to it measures hindsight.",
        ),
    )
    for split, part in cases.items():
        for rule, severity, text in noted:
            hits = [case for case in part if rule in case.example.notes]
            if hits:
                yield finding(rule, severity, split, hits, len(part), text)


def balance(cases: Cases) -> Iterator[Finding]:
    """How many labels go up, and whether the test split has weeks enough."""
    for split, part in cases.items():
        if not part:
            continue
        up = [case for case in part if case.example.margin > 0]
        text = (
            f"{len(up)} labels go up, {len(part) - len(up)} down: a constant answer is right in "
            f"{100 * max(len(up), len(part) - len(up)) / len(part):.1f} % of rows."
        )
        yield finding("label-balance", "info", split, up, len(part), text)
    test = cases.get("test", ())
    weeks = len({week_number(case.example) for case in test})
    if test and weeks < FEW_WEEKS:
        text = (
            f"The {len(test)} test rows lie in {weeks} distinct weeks, and rows of one week share the market: the "
            "effective sample is far smaller than the row count."
        )
        yield Finding(
            rule="few-test-weeks",
            severity="warning",
            split="test",
            count=weeks,
            of=len(test),
            text=text,
        )
