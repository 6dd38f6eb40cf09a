"""Answers that stand in prompts, forecasts of the very week in prompts, and test rows that training has nearly seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from fingpt.prep.facts import Case
from fingpt.prep.importer import DISAGREES
from fingpt.prep.lint.cases import Cases, all_cases, finding, percent, scored
from fingpt.prep.lint.shingles import Among, Shingles, alike, jaccard, shared, shingles
from fingpt.prep.lint.spill import Ints
from fingpt.runs.manifest import Finding

ANSWER_WORDS = 5
"""Words of a shingle of answers; a copy with one word in ten changed keeps more than half of them."""

QUOTED, QUOTED_ANALYSIS = 0.35, 0.2
"""Shares of an answer and of its analysis that its own prompt may hold: answers quote (at most .16 and .05 in the
published rows)."""

FOREIGN = 0.12
"""Share of an answer, or its analysis, that another prompt may hold beyond what its own has (at most .03 there)."""

SAME_PROMPT, ALSO_PROMPT, SAME_ANSWER = 0.65, 0.35, 0.25
"""Jaccard similarities, without template and dates: two rows are one where their prompts reach the first, or the second
while their answers reach the third. In the published rows neighbouring weeks share up to .52 of their prompts, and no
two answers more than .07."""

NEARLY_WHOLE = 0.8
"""The same of prompts and of answers where there are fewer rows than TEMPLATE_ROWS: what few rows share may be the
template's, which only many rows tell."""

TEMPLATE_ROWS = 100

FEW = 3

_LEAST = 12  # shingles, of a text and in common: shorter texts are alike by chance
_LEAST_ROW = 16  # shingles of a prompt or an answer that are not the template's
_SEEN_BEFORE = {("test", "train"), ("test", "validation"), ("validation", "train")}
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
    told = [
        (shingles(texts, ANSWER_WORDS).rare(max(6, len(rows) // 100)), quoted)
        for texts, quoted in (
            ((case.example.answer for case in rows), QUOTED),
            ((_analysis(case.example.answer) for case in rows), QUOTED_ANALYSIS),
        )
    ]
    asked = Among(answers for answers, _ in told)
    prompts = shingles((case.example.user for case in rows), ANSWER_WORDS, asked)
    held: dict[int, tuple[float, int]] = {}
    for answers, quoted in told:
        sizes = answers.sizes
        quotes, pairs, counts = _copied(answers, prompts)
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
    if not any((late, early) in _SEEN_BEFORE for late in cases for early in cases):
        return
    rows = all_cases(cases)
    split_of = [split for split, part in cases.items() for _ in part]
    twins: dict[int, tuple[int, float]] = {}
    for one, other, similarity in sorted(_nearly_the_same(rows)):
        for late, early in ((one, other), (other, one)):
            if (split_of[late], split_of[early]) in _SEEN_BEFORE:
                twins.setdefault(late, (early, similarity))
    start = 0
    for split, part in cases.items():
        places = [place for place in sorted(twins) if start <= place < start + len(part)]
        start += len(part)
        if places:
            early, similarity = twins[places[0]]
            text = (
                f"Rows that an earlier split holds too, under other dates or with small changes: "
                f"{rows[places[0]].name} is {rows[early].name} ({percent(similarity)} of the prompts' wording, "
                "template and dates apart)."
            )
            hits = [rows[place] for place in places]
            found = finding("near-duplicate-in-train", "error", split, hits, len(part), text)
            pairs = [(rows[place].example, rows[twins[place][0]].example) for place in places]
            yield scored(found, [(one.margin > 0) == (other.margin > 0) for one, other in pairs])


def _copied(answers: Shingles, prompts: Shingles) -> tuple[Ints, Ints, Ints]:
    """(shingles of each answer in its own prompt, pairs of an answer and another prompt, shingles that the pair has and
    the answer's own prompt lacks); a pair is the answer's place times the number of rows plus the prompt's.
    """
    count = len(answers.sizes)
    quotes = np.zeros(count, np.int64)
    pairs, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for answer, prompt, hashes in shared(answers, prompts, _MOST_HOLDERS):
        own = answer == prompt
        quotes += np.bincount(answer[own], minlength=count)
        key = answer.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ hashes
        foreign = ~own & ~np.isin(key, key[own])
        found, times = np.unique(answer[foreign] * count + prompt[foreign], return_counts=True)
        pairs, place = np.unique(np.concatenate([pairs, found]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, times]), len(pairs)).astype(np.int64)
    return quotes, pairs, counts


def _nearly_the_same(rows: Sequence[Case]) -> Iterator[tuple[int, int, float]]:
    """(row, later row, similarity of their prompts) of rows that are one; those that ask the same question apart."""
    most = max(6, len(rows) // 100)
    prompts = shingles((case.example.user for case in rows), _PROMPT_WORDS).rare(most)
    answers = shingles((case.example.answer for case in rows), _PROMPT_WORDS).rare(most)
    known = len(rows) >= TEMPLATE_ROWS
    prompt_is, answer_is = (SAME_PROMPT, SAME_ANSWER) if known else (NEARLY_WHOLE, NEARLY_WHOLE)
    for one, other, similarity in alike(prompts, ALSO_PROMPT, _LEAST_ROW):
        a, b = rows[one].example, rows[other].example
        if (a.symbol, a.period) == (b.symbol, b.period):
            continue  # duplicate-question tells of these
        told = answers.of(one), answers.of(other)
        same_answer = min(map(len, told)) >= _LEAST_ROW and jaccard(*told) >= answer_is
        if similarity >= prompt_is or same_answer:
            yield one, other, similarity


def _keep(held: dict[int, tuple[float, int]], place: int, share: float, other: int) -> None:
    held[place] = max(held.get(place, (0.0, other)), (float(share), other))


def _analysis(answer: str) -> str:
    match = _ANALYSIS.search(answer)
    return answer[match.end() :] if match else ""


def _forecast(case: Case) -> tuple[bool, str, bool] | None:
    """(whether the prompt's forecast goes up, its words, whether it says that it is one), the surest that it states."""
    unsure: tuple[bool, str] | None = None
    for line in case.example.user.splitlines():
        stated, worded = _forecasts_in(line)
        if stated is not None:
            return *stated, True
        unsure = unsure or worded
    return None if unsure is None else (*unsure, False)


@lru_cache(maxsize=4096)  # a template's lines stand in every prompt, news in those of a few weeks
def _forecasts_in(line: str) -> tuple[tuple[bool, str] | None, tuple[bool, str] | None]:
    """What `_first` finds of the forecasts that say so, and of those in the labels' own sizes."""
    return _first((_STATED,), line), _first(_WORDED, line)


def _first(patterns: Iterable[re.Pattern[str]], line: str) -> tuple[bool, str] | None:
    """(whether it goes up, its words) of the forecast that a line states."""
    for pattern in patterns:
        if match := pattern.search(line):
            words = line[max(0, match.start() - 20) : match.end() + 20].strip()
            return bool(_UPWARD.fullmatch(match["way"])), words.replace('"', "'")
    return None
