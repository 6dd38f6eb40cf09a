"""Reads the text of a prediction, such as `Up by 2-3%` or a paragraph, into a Move, or says why there is none.

Its first sentence counts, and those that conclude (`Overall, …`, `I predict …`); where they say nothing, the other
forecasts, where those agree. Size belongs to the sentence that decides, or to a line that holds nothing else.
Sentences on reasons and on what lies beyond the week are skipped. What stays undecided has no direction here:
never a guess.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fingpt.eval.clause import Sentence, read_sentence
from fingpt.eval.lexicon import (
    ASIDE_LINE,
    BEYOND,
    CHINESE,
    CONCLUDES,
    EXPLICIT,
    FIRM,
    FORECASTS,
    SOFT,
    SUBJECT,
)
from fingpt.eval.size import Size, plain_numbers

READ_CHARACTERS = 4000
_SENTENCE_CHARACTERS = 600
_SHORT = 60  # characters of a line such as "Direction: down"

Undecided = Literal["no direction", "undecided direction"]

_DASHES = {ord(dash): "-" for dash in "‐‑‒–—―−﹣－"}
_MARKUP = {0xFE0F: None, 0x20E3: None, ord("’"): "'"}
_MARKUP |= {ord(mark): None for mark in "*`\\"} | {ord(mark): " " for mark in "_{}•|#"}
_QUOTED = re.compile(r"^[\s>]*>[ \t]*(?!\d)", re.MULTILINE)  # Markdown's, where ">5%" is none
_BIN = re.compile(r"\W{0,3}([ud])([1-5])(\+)?\W{0,3}")
_END = re.compile(r"[.!?](?=\s|$)|;|\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:inc|co|corp|ltd|plc|vs|approx|u\.s|st|prev|e\.g|i\.e|est|ca|mr|ms|dr|jan|feb|mar|apr|jun|jul|aug"
    r"|sept?|oct|nov|dec)$"
)


@dataclass(frozen=True, slots=True)
class Move:
    """Direction +1, 0 or -1, signed margin and bin (both None without a stated size), and flags."""

    direction: int
    margin: float | None
    bin: int | None
    flags: tuple[str, ...] = ()


def read_statement(text: str, *, prose: bool = False) -> Move | Undecided:
    """Read a statement of up to `READ_CHARACTERS`; in `prose` only sentences that forecast the stock count."""
    sentences = [
        read_sentence(sentence)
        for sentence in _sentences(normal(text))
        if not prose or (FORECASTS.search(sentence) and SUBJECT.search(sentence))
    ]
    direction = _combine(sentences, prose=prose)
    if isinstance(direction, str):
        return direction
    return _move(direction, _size(sentences, direction))


def normal(text: str) -> str:
    """Lower case, one kind of dash, no markup, Chinese words and bins such as `U3` written out, numbers plain."""
    text = _QUOTED.sub("", text[:READ_CHARACTERS])
    text = unicodedata.normalize("NFKC", text.translate(_MARKUP))
    text = text.translate(_DASHES).lower().replace("boxed", " ")
    for word, plain in CHINESE:
        text = text.replace(word, plain)
    return "\n".join(
        _written_out(plain_numbers(" ".join(line.split()))) for line in text.split("\n")
    )


def _written_out(line: str) -> str:
    code = _BIN.fullmatch(line)
    if code is None:
        return line
    size = "more than 5%" if code[3] else f"{int(code[2]) - 1}-{code[2]}%"
    return f"{'up' if code[1] == 'u' else 'down'} by {size}"


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(text):
        if end.group() == "." and _ABBREVIATION.search(
            text[max(start, end.start() - 8) : end.start()]
        ):
            continue
        yield from _kept(text[start : end.end()])
        start = end.end()
    yield from _kept(text[start:])


def _kept(sentence: str) -> Iterator[str]:
    """The sentence, unless it gives reasons or looks beyond the week."""
    sentence = sentence.strip()[:_SENTENCE_CHARACTERS]
    if sentence and not ASIDE_LINE.match(sentence) and not BEYOND.search(sentence):
        yield sentence


def _combine(sentences: list[Sentence], *, prose: bool) -> int | Undecided:
    ranks: tuple[list[Sentence], ...] = ([], [], [])
    listed = bool(sentences) and sentences[0].text.startswith("- ")
    for index, one in enumerate(sentences):
        opens = not prose and (index == 0 or (listed and one.text.startswith("- ")))
        ranks[_rank(one.text, opens=opens)].append(one)
    for rank, ranked in enumerate(ranks):
        found = {one.direction for one in ranked if one.direction is not None}
        spoken = [one for one in ranked if one.undecided or one.direction is not None]
        if len(found) > 1 or (spoken and spoken[0].undecided and (rank or not found)):
            return "undecided direction"
        if found:
            direction = found.pop()
            by_the_way = rank == 2 and any(one.mixed for one in sentences)
            return (
                "undecided direction" if by_the_way or _denied(sentences, direction) else direction
            )
    return "no direction"


def _denied(sentences: list[Sentence], direction: int) -> bool:
    """Whether a bare sign says the opposite, or a flat forecast is left by a firm word elsewhere."""
    others = [one for one in sentences if one.direction not in (None, 0, direction)]
    if direction == 0:
        return any(" bias" in one.text or not SOFT.search(one.text) for one in others)
    return any(one.by_sign for one in others)


def _rank(text: str, *, opens: bool) -> int:
    """0: the statement itself or its conclusion, 1: another forecast, a short line, 2: an objection or an aside."""
    if opens or EXPLICIT.search(text) or CONCLUDES.match(text):
        return 0
    if text.lstrip("- ").startswith(("however", "but", "although", "while")):
        return 0 if FIRM.search(text) and not SOFT.search(text) else 2
    short = len(text) <= _SHORT
    return 1 if short or (FIRM.search(text) and SUBJECT.search(text)) else 2


def _size(sentences: list[Sentence], direction: int) -> Size | None:
    """Size of a sentence that decides, else of a line with a size and no direction."""
    for wanted in (direction, None):
        for one in sentences:
            if one.direction == wanted and not one.undecided and one.size is not None:
                return one.size
    return None


def _move(direction: int, size: Size | None) -> Move | Undecided:
    if direction == 0 or (size is not None and size.middle == 0):
        return Move(0, 0.0, 0)
    if size is None:
        return Move(direction, None, None, ("no_range",))
    if size.signed and size.middle * direction < 0:
        return "undecided direction"
    flags = (size.flag,) if size.flag is not None else ()
    return Move(direction, direction * size.magnitude, math.ceil(size.magnitude), flags)
