"""News published after the day that the forecast was due.

Honest news name many days to come (earnings calls, dividends, deadlines), so a day counts only where it says when the
text was written or what had happened: as a dateline, in brackets at an end, behind words such as `published`, or beside
a past move of the price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

from fingpt.prep.facts import Case
from fingpt.prep.lint.cases import Cases, finding
from fingpt.prep.lint.sections import sections_of
from fingpt.runs.manifest import Finding

FEW = 3
"""One or two such dates in a split may be misprints, or misread: they warn."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_DAY = (
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:,? \d{{4}})?|"
    rf"\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}(?:,? \d{{4}})?|\d{{1,2}}/\d{{1,2}}/\d{{4}})(?![\w%])"
)
_DATED = rf"(?:\d{{4}}-\d\d-\d\d|{_MONTH} \d{{1,2}}, \d{{4}}|\d{{1,2}} {_MONTH} \d{{4}})"
_CLAUSE = r"(?:[^.;\n]|\.\d){0,60}?"
_WEEKDAY = r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Satur|Sat|Sun)(?:day)?\.?,? )?"
_WRITTEN = (
    r"published|posted|updated|dated|filed|written|recorded|issued|modified|reported|timestamp|date|"
    r"(?<!record )as of"
)
_MOVED = (
    r"(?:clos(?:ed|ing)|ended|finished|settled|rose|fell|gained|dropped|slipped|jumped|climbed|traded|lost|advanced|"
    r"declined|tumbled|surged|rallied|sank|slid|plunged|soared|reported|posted|beat|missed)"
)
_PLACES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^\W{{0,3}}{_WEEKDAY}({_DAY})(?: \d\d:\d\d(?::\d\d)?)?\s?(?:[)\]:|]|-|–|—)",
        rf"^.{{0,60}}?\b({_DAY})\s?(?:\([^)\n]{{1,40}}\)|/[^/\n]{{1,40}}/)?\s?(?:--|—|/PRNewswire)",
        rf"^\W{{0,3}}{_WEEKDAY}({_DATED})\b",
        rf"[(\[](?:[^()\[\]\n]{{1,30}}[ ,])?{_WEEKDAY}({_DAY})[)\]]\W*$",
        rf"[-–—|] {_WEEKDAY}({_DAY})\W*$",
        rf"\b(?:{_WRITTEN})(?: on| at|:| as)*:? {_WEEKDAY}({_DAY})",
        rf"\b{_MOVED}\b{_CLAUSE}\bon {_WEEKDAY}({_DAY})",
        rf"\bon {_WEEKDAY}({_DAY}),?{_CLAUSE}\b{_MOVED}\b",
        rf"\b({_DAY})(?:'s|’s) clos",
    )
)
_ANY_DAY = re.compile(rf"{_DAY}|{_DATED}", re.IGNORECASE)
"""All of these places hold one of them: a line without is looked at once, not nine times."""
_TO_COME = re.compile(
    r"\b(?:will|would|shall|expect\w*|schedul\w*|due|plan\w*|set|upcoming|ahead|until|till|payable|effective|deadline|"
    r"before|by|no later|from|through|next|may|could|should|to be|record)\b(?=[^.;\n]{0,60}$)",
    re.IGNORECASE,
)
_NEAR = timedelta(days=60)  # a day without a year is taken for one of these
_TAG = re.compile(r"^\[[^\]\n]{1,40}\]:[ \t]*")


def news_after_as_of(cases: Cases) -> Iterator[Finding]:
    """News, or a past week, of a day after the one on which the forecast was due."""
    for split, part in cases.items():
        late = [(case, text) for case in part if (text := _late(case))]
        if late:
            text = (
                "News or past weeks of days after the one on which the forecast was due; "
                f'for example "{late[0][1]}".'
            )
            severity = "error" if len(late) >= min(FEW, max(1, len(part) // 10)) else "warning"
            yield finding(
                "news-after-as-of", severity, split, [case for case, _ in late], len(part), text
            )


def _late(case: Case) -> str:
    """What shows that a prompt knows a day after its as-of day, quoted; empty where nothing does."""
    asof = case.example.start
    for week in case.facts.weeks:
        if week.end > asof:
            return f"From {week.start} to {week.end}"
    for line in sections_of(case).news:
        plain = _dated(line)
        if plain is None:
            continue
        for place in _PLACES:
            for match in place.finditer(plain):
                day = _date(match[1], asof)
                if day and day > asof and not _TO_COME.search(plain[: match.start(1)]):
                    start = max(0, match.start(1) - 40)
                    return plain[start : match.end(1) + 20].strip().replace('"', "'")
    return ""


@lru_cache(maxsize=4096)  # news stand in the prompts of a few weeks
def _dated(line: str) -> str | None:
    """A line of news without its tag; None where it names no day."""
    plain = _TAG.sub("", line)
    return plain if _ANY_DAY.search(plain) else None


def _date(text: str, near: date) -> date | None:
    """The day that `text` names; without a year the one near to `near`, if there is one."""
    numbers = [int(each) for each in re.findall(r"\d+", text)]
    word = re.search(r"[A-Za-z]{3,}", text)
    try:
        if word is None:
            if "/" in text and numbers[0] < 1000:
                return date(numbers[2], numbers[0], numbers[1])
            return date(numbers[0], numbers[1], numbers[2])
        month = _MONTHS.index(word[0][:3].lower()) + 1
        if len(numbers) > 1:
            return date(numbers[1], month, numbers[0])
        years = (near.year - 1, near.year, near.year + 1)
        days = [date(year, month, numbers[0]) for year in years]
    except ValueError:
        return None
    day = min(days, key=lambda day: abs(day - near))
    return day if abs(day - near) <= _NEAR else None
