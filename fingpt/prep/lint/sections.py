"""A prompt in parts for the scans: news, week heads, `key: number` lines, and the prose around them. Pure.

Text that does not follow the published form ends up as prose; nothing is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from fingpt.prep.facts import Case

_HEAD = re.compile(r"^From \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d,")
_TAGGED = re.compile(r"^\[(?:Headline|Summary)\]:")
_AFTER_NEWS = re.compile(
    r"^(?:Some recent basic financials|\[[^\]\n]{1,60}\]:?\s*$|Based on all the information)",
    re.IGNORECASE,
)
_KEY = re.compile(r"^([A-Za-z][^:\n]{0,60}?)\s*[:=]\s*([^\s].*)$")
_NUMBER = re.compile(
    r"(?<![\w.,])[-+−]?[$€£]?(\d{1,3}(?:,\d{3})+|\d{1,15})(\.\d{1,18})?(e[-+]?\d{1,3})?"
    r"(?:\s?(trillion|billion|million|thousand|tn|bn|[TBMK])\b)?(?![\w]*\d)",
    re.IGNORECASE,
)
_TOKEN = re.compile(rf"(?i:{_NUMBER.pattern})|[A-Za-z]+|#")
_DATE = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_WORD = re.compile(r"[A-Za-z]+|#")
_UNITS = {
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "m": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "b": 1e9,
    "trillion": 1e12,
    "tn": 1e12,
    "t": 1e12,
}


@dataclass(frozen=True, slots=True)
class Sections:
    """The lines of a prompt: `heads` tell the prices of past weeks, `news` stand below them, `figures` are the lines
    `key: value` elsewhere; `before` and `after` are the prose in front of the first head and behind it.
    """

    heads: tuple[str, ...]
    news: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def prose(self) -> str:
        """All text that is neither news nor figures nor a head."""
        return "\n".join((*self.before, *self.after))


def sections_of(case: Case) -> Sections:
    """The parts of a case's prompt, its system text in front of the prose."""
    heads: list[str] = []
    news: list[str] = []
    figures: list[tuple[str, str]] = []
    before = case.example.system.splitlines()
    after = list[str]()
    in_news = False
    for line in case.example.user.splitlines():
        if line.startswith("From ") and _HEAD.match(line):
            heads.append(line)
            in_news = True
        elif _TAGGED.match(line) or (in_news and not _AFTER_NEWS.match(line)):
            news.append(line)
        else:
            in_news = False
            figure = _figure(line)
            if figure is not None:
                figures.append(figure)
            else:
                (after if heads else before).append(line)
    return Sections(tuple(heads), tuple(news), tuple(figures), tuple(before), tuple(after))


@lru_cache(maxsize=4096)  # a template's lines stand in every prompt
def _figure(line: str) -> tuple[str, str] | None:
    """(key, number) of a line that is nothing else."""
    match = _KEY.match(line)
    if match is None:
        return None
    text = match[2].strip()
    return (match[1], text) if _NUMBER.fullmatch(text) else None


def numbers_of(case: Case, parts: Sections) -> dict[str, float]:
    """Number of the prompt outside news → its value, by where it stands: a key, the words around it, its place."""
    found = {key: value for key, text in parts.figures if (value := number_in(text)) is not None}
    if case.facts.weeks:
        newest = case.facts.weeks[-1]
        found["price at the start of the newest week"] = newest.price_start
        found["price at the start of the oldest week"] = case.facts.weeks[0].price_start
    for name, lines in (("introduction", parts.before), ("closing", parts.after)):
        told = _numbers("\n".join(lines))
        for place, (context, value) in enumerate(told, start=1):
            found[context] = value
            found[f"number {place} of the {name}"] = value
            found[f"number {place - len(told) - 1} of the {name}"] = value
    for line in parts.heads[-1:]:
        behind = (
            line.partition(f"{case.facts.weeks[-1].price_end:.2f}")[2] if case.facts.weeks else line
        )
        found.update(_numbers(behind))
    return found


def dates_of(case: Case, parts: Sections) -> dict[str, float]:
    """Date of the prompt outside news → days from it to the day that the forecast was due, by the words before it."""
    found: dict[str, float] = {}
    for line in (*parts.before, *parts.after, *parts.heads[-1:]):
        if "-" not in line:
            continue
        for match in _DATE.finditer(line):
            try:
                day = date(int(match[1]), int(match[2]), int(match[3]))
            except ValueError:
                continue
            words = " ".join(_WORD.findall(line[max(0, match.start() - 60) : match.start()])[-2:])
            found[f"date after '{words.lower()}'"] = float((case.example.start - day).days)
    return found


def number_in(text: str) -> float | None:
    """The first number of `text`, thousands and units such as `billion` applied; None where there is none."""
    match = _NUMBER.search(text)
    return None if match is None else _value(match)


def _numbers(text: str) -> tuple[tuple[str, float], ...]:
    """(words around a number, its value) for each number of `text` that belongs to no date."""
    return _numbers_in(_DATE.sub("@", text))


@lru_cache(
    maxsize=1024
)  # without dates, what a template says of a company is the same week after week
def _numbers_in(plain: str) -> tuple[tuple[str, float], ...]:
    found: list[tuple[str, float]] = []
    one: re.Match[str] | None = None
    two: re.Match[str] | None = None
    for match in _TOKEN.finditer(plain):
        if match.lastindex:
            right = _WORD.search(plain, match.end(), match.end() + 30)
            around = [
                *_before(plain, match.start(), one, two),
                "#",
                *([right[0]] if right else []),
            ]
            found.append((" ".join(around).lower(), _value(match)))
        one, two = two, match
    return tuple(found)


def _before(
    plain: str, start: int, one: re.Match[str] | None, two: re.Match[str] | None
) -> list[str]:
    """The last two words or numbers within 60 characters before `start`; `one` and `two` are the last two anywhere."""
    first = max(0, start - 60)
    if one is None or two is None or one.start() < first:
        return _WORD.findall(_NUMBER.sub("#", plain[first:start]))[-2:]
    return ["#" if match.lastindex else match[0] for match in (one, two)]


def _value(match: re.Match[str]) -> float:
    digits = match[1].replace(",", "") + (match[2] or "") + (match[3] or "")
    sign = -1.0 if match[0][0] in "-−" else 1.0
    return sign * float(digits) * _UNITS.get((match[4] or "").lower(), 1.0)
