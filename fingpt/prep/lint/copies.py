"""Answers that stand in prompts, forecasts of the very week in prompts, and test rows that training has nearly seen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from fingpt.prep.facts import Case
from fingpt.prep.importer import DISAGREES
from fingpt.prep.lint.cases import Cases, all_cases, finding, percent, scored
from fingpt.prep.lint.shingles import alike, shared, shingles
from fingpt.runs.manifest import Finding

ANSWER_WORDS = 5
"""Words of a shingle of answers; a copy with one word in ten changed keeps more than half of them."""

QUOTED, QUOTED_ANALYSIS = 0.35, 0.2
"""Shares of an answer and of its analysis that its own prompt may hold: answers quote (at most .16 and .05 in the
published rows)."""

FOREIGN = 0.12
"""Share of an answer, or its analysis, that another prompt may hold beyond what its own has (at most .03 there)."""

SAME_PROMPT, SAME_ANSWER = 0.65, 0.4
"""Jaccard similarities, without template and dates, from which two rows are one: neighbouring weeks share up to half of
their prompts and less than a tenth of their answers in the published rows."""

FEW = 3

_LEAST = 12  # shingles, of a text and in common: shorter texts are alike by chance
_MOST_HOLDERS = 200
_PROMPT_WORDS = 3

_ANALYSIS = re.compile(r"^[\W_]*analysis\W", re.IGNORECASE | re.MULTILINE)
_UP = r"up|ris(?:e[sn]?|ing)|rose|gain\w*|increas\w*|climb\w*|grow\w*|higher|advanc\w*|bullish|positive|\+|▲|↑"
_DOWN = r"down|fall\w*|fell|los[est]\w*|drop\w*|decreas\w*|declin\w*|lower|slip\w*|bearish|negative|[-−]|▼|↓"
_TOLD = r"predict(?:ion|ed)?|forecast|outcome|label|target|truth|answer|verdict"
_SIZE = r"(?:[0-4]\s?(?:-|–|to)\s?[1-5]\s?(?:%|per ?cent)|(?:more than|over|above|>)\s?5\s?(?:%|per ?cent))"
_FILLER = "it|price|stock|will|be|go|move|the|goes|likely|to"
_NEXT = r"(?:next|coming|following|forecast) week\b"
_STATED = re.compile(
    rf"\b(?:{_TOLD})\b\W{{0,3}}(?:[:=–—>-]|\bis\b|\bwas\b)\W{{0,5}}(?:(?:{_FILLER})\b\W{{1,3}}){{0,5}}"
    rf"(?P<way>{_UP}|{_DOWN}|[UD](?=[1-5]))"
    rf"(?:[1-5]\+?(?!\w)|\W{{0,3}}(?:by )?(?:{_SIZE}|[1-5]\s?%)|(?!\w)(?=\W*$))",
    re.IGNORECASE,
)
_WORDED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<way>up|down) by (?:[0-4]-[1-5]%|more than 5%)",
        rf"\b(?:stock|shares?|price)\b[^.\n]{{0,40}}\b(?P<way>{_UP}|{_DOWN})\b[^.\n]{{0,12}}?{_SIZE}[^.\n]{{0,20}}\b{_NEXT}",
        rf"\b{_NEXT}[^.\n]{{0,60}}\b(?P<way>{_UP}|{_DOWN})\b[^.\n]{{0,12}}?{_SIZE}",
    )
)
_UPWARD = re.compile(rf"(?:{_UP}|U)", re.IGNORECASE)


def answers_in_prompts(cases: Cases) -> Iterator[Finding]:
    """Answers, or their analyses, of which a good part stands in their own prompt or in another one."""
    rows = all_cases(cases)
    prompts = shingles([case.example.user for case in rows], ANSWER_WORDS)
    held: dict[int, tuple[float, int]] = {}
    for texts, quoted in (
        ([case.example.answer for case in rows], QUOTED),
        ([_analysis(case.example.answer) for case in rows], QUOTED_ANALYSIS),
    ):
        answers = shingles(texts, ANSWER_WORDS).rare(max(6, len(rows) // 100))
        sizes = answers.sizes
        answer, prompt, hashes = shared(answers, prompts, _MOST_HOLDERS)
        own = answer == prompt
        quotes = np.bincount(answer[own], minlength=len(rows))
        key = answer[own].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ hashes[own]
        foreign = ~own & ~np.isin(
            answer.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ hashes, key
        )
        pairs, counts = np.unique(answer[foreign] * len(rows) + prompt[foreign], return_counts=True)
        for place in np.flatnonzero(quotes >= np.maximum(quoted * sizes, _LEAST)).tolist():
            _keep(held, place, quotes[place] / sizes[place], place)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            place, other = divmod(pair, len(rows))
            if count >= max(FOREIGN * sizes[place], _LEAST):
                _keep(held, place, count / sizes[place], other)
    start = 0
    for split, part in cases.items():
        stop = start + len(part)
        hits = [place for place in sorted(held) if start <= place < stop]
        start = stop
        if hits:
            share, other = held[hits[0]]
            where = "its own prompt" if other == hits[0] else f"the prompt of {rows[other].name}"
            text = (
                f"Answers stand in prompts: {percent(share)} of the answer of {rows[hits[0]].name} in {where}. "
                "Who reads it there need not forecast."
            )
            copied = [rows[place] for place in hits]
            found = finding("answer-in-prompt", "error", split, copied, len(part), text)
            yield scored(found, [DISAGREES not in case.example.notes for case in copied])


def predictions_in_prompts(cases: Cases) -> Iterator[Finding]:
    """Prompts that state a forecast of a week: behind a word such as `Prediction:`, or in the labels' own sizes.

    The second kind may be news about something else: it is an error where many rows have it and most are right.
    """
    for split, part in cases.items():
        told = [(case, *seen) for case in part if (seen := _forecast(case)) is not None]
        if told:
            right = [up == (case.example.margin > 0) for case, up, _, _ in told]
            text = (
                f'Prompts state a forecast, for example "{told[0][2]}"; its direction is right in {sum(right)} of '
                f"{len(told)} rows."
            )
            sure = any(each[3] for each in told)
            many = len(told) >= FEW and sum(right) >= 0.7 * len(told)
            severity = "error" if sure or many else "warning"
            hits = [each[0] for each in told]
            found = finding("prediction-in-prompt", severity, split, hits, len(part), text)
            yield scored(found, right)


def near_duplicates(cases: Cases) -> Iterator[Finding]:
    """Rows of test or validation that training holds too, under other dates or with small changes."""
    rows = all_cases(cases)
    split_of = [split for split, part in cases.items() for _ in part]
    most = max(6, len(rows) // 100)
    prompts = shingles([case.example.user for case in rows], _PROMPT_WORDS).rare(most)
    answers = shingles([case.example.answer for case in rows], _PROMPT_WORDS).rare(most)
    pairs = {(a, b): s for a, b, s in alike(prompts, SAME_PROMPT, _LEAST)}
    both = {(a, b): s for a, b, s in alike(answers, SAME_ANSWER, _LEAST)}
    sets = [np.split(each.hashes, np.cumsum(each.sizes)[:-1]) for each in (prompts, answers)]
    for (a, b), s in both.items():
        x, y = sets[0][a], sets[0][b]
        common = len(np.intersect1d(x, y, assume_unique=True))
        if min(len(x), len(y)) >= _LEAST and common >= 0.25 * (len(x) + len(y) - common):
            pairs.setdefault((a, b), s)
    twins: dict[int, tuple[int, float]] = {}
    for (a, b), s in sorted(pairs.items()):
        for late, early in ((a, b), (b, a)):
            if _seen_before(split_of[late], split_of[early]) and not _asks_the_same(
                rows[a], rows[b]
            ):
                twins.setdefault(late, (early, s))
    by_split: dict[str, list[int]] = defaultdict(list)
    for late in sorted(twins):
        by_split[split_of[late]].append(late)
    for split, places in by_split.items():
        early, similarity = twins[places[0]]
        text = (
            f"Rows that an earlier split holds too, under other dates or with small changes: "
            f"{rows[places[0]].name} is {rows[early].name} ({percent(similarity)} of the wording, template and "
            "dates apart)."
        )
        hits = [rows[place] for place in places]
        right = [
            (rows[place].example.margin > 0) == (rows[twins[place][0]].example.margin > 0)
            for place in places
        ]
        found = finding("near-duplicate-in-train", "error", split, hits, len(cases[split]), text)
        yield scored(found, right)


def _keep(held: dict[int, tuple[float, int]], place: int, share: float, other: int) -> None:
    held[place] = max(held.get(place, (0.0, other)), (float(share), other))


def _analysis(answer: str) -> str:
    match = _ANALYSIS.search(answer)
    return answer[match.end() :] if match else ""


def _forecast(case: Case) -> tuple[bool, str, bool] | None:
    """(whether the prompt's forecast goes up, its words, whether it says that it is one), the surest that it states."""
    for sure, patterns in ((True, (_STATED,)), (False, _WORDED)):
        for line in case.example.user.splitlines():
            for pattern in patterns:
                if match := pattern.search(line):
                    words = line[max(0, match.start() - 20) : match.end() + 20].strip()
                    up = bool(_UPWARD.fullmatch(match["way"]))
                    return up, words.replace('"', "'"), sure
    return None


def _seen_before(late: str, early: str) -> bool:
    return (late, early) in {("test", "train"), ("test", "validation"), ("validation", "train")}


def _asks_the_same(one: Case, other: Case) -> bool:
    """Whether two rows ask for one symbol and week; duplicate-question tells of these."""
    return (one.example.symbol, one.example.period) == (other.example.symbol, other.example.period)
