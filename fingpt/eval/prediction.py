"""Reads direction and size from the one line that follows `Prediction:`.

Policy: the first direction word that is not negated decides, a sign decides where there is no word, a word such as
"flat" where there is neither. The size is the middle of the stated range, capped at 5.5 percentage points, the
middle of the open bin. A line is read up to 400 characters.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

OPEN_BIN_MARGIN = 5.5
_OPEN_BIN_FROM = 5.0
_READ_CHARACTERS = 400

_UP = (
    r"up(?:wards?)?|increas(?:e|es|ed|ing)|ris(?:e|es|ing)|gain(?:s|ing)?|higher|grow(?:s|th)?"
    r"|climb(?:s|ing)?|bullish|positive"
)
_DOWN = (
    r"down(?:wards?)?|decreas(?:e|es|ed|ing)|declin(?:e|es|ed|ing)|drop(?:s|ping)?|fall(?:s|ing)?|lower"
    r"|dip(?:s|ping)?|bearish|negative"
)
_WORD = re.compile(rf"\b(?:(?P<up>(?!up\s+to\b)(?:{_UP}))|(?P<down>{_DOWN}))\b")
_UP_TO = re.compile(r"\bup\s+to\b")
_NEGATION = re.compile(
    r"(?:\bnot|n't|\bno|\brather\s+than|\binstead\s+of)(?:\s+(?:go|going|move))?\s*$"
)
_FLAT = re.compile(r"\b(?:flat|unchanged|neutral|stable|sideways|no\s+(?:significant\s+)?change)\b")

_NUMBER = r"(?<![\w.])[+-]?\d{1,9}(?:\.\d{1,9})?"
_UNIT = r"\s?(?:%|per\s?cent\b|percent\b|percentage\s+points?\b|pct\b)"
_SIZE = re.compile(
    rf"(?P<bound>more\s+than|over|above|at\s+least|greater\s+than|exceed(?:s|ing)|less\s+than|under|below|at\s+most"
    rf"|up\s+to|[<>]=?)?\s?(?P<low>{_NUMBER})(?P<plus>\s?\+)?(?P<low_unit>{_UNIT})?"
    rf"(?:\s?(?:-|~|to)\s?(?P<high>[+-]?\d{{1,9}}(?:\.\d{{1,9}})?))?(?P<plus2>\s?\+)?(?P<high_unit>{_UNIT})?"
)
_BETWEEN = re.compile(r"\bbetween (\S{1,20}) and ")
_BARE_LIMIT = 100.0
_LOWER_BOUNDS = {
    "more than",
    "over",
    "above",
    "at least",
    "greater than",
    "exceeds",
    "exceeding",
    ">",
    ">=",
}
_BY = re.compile(r"\bby(?:\s+(?:around|about|approximately|roughly|some))?\s*$")
_DASHES = {ord(dash): "-" for dash in "‐‑‒–—―−﹣－"}
_KEYCAP = {0xFE0F: None, 0x20E3: None}


@dataclass(frozen=True, slots=True)
class Size:
    """A stated move: signed `middle` in percentage points, `flag` where it was not a plain closed range."""

    middle: float
    signed: bool
    flag: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """Direction +1, 0 or -1, signed margin and bin (both None without a stated size), and flags."""

    direction: int
    margin: float | None
    bin: int | None
    flags: tuple[str, ...]


def read_move(line: str) -> Move | None:
    """Read a prediction line such as `Up by 2-3%`; None when it states no direction."""
    text = unicodedata.normalize("NFKC", line[:_READ_CHARACTERS].translate(_KEYCAP))
    text = " ".join(text.translate(_DASHES).lower().split())
    flags: list[str] = []
    text = _BETWEEN.sub(r"by \1 to ", text)
    direction = _direction(text, flags)
    size = _size(text)
    if direction is None and size is not None and size.signed and size.middle:
        direction = int(math.copysign(1, size.middle))
    if direction is None and (_FLAT.search(text) or (size is not None and size.middle == 0)):
        return Move(0, 0.0, 0, tuple(flags))
    if direction is None and _UP_TO.search(text):
        direction = 1
    if direction is None:
        return None
    if size is None:
        return Move(direction, None, None, (*flags, "no_range"))
    if size.flag is not None:
        flags.append(size.flag)
    magnitude = min(abs(size.middle), OPEN_BIN_MARGIN)
    if magnitude == 0:
        return Move(0, 0.0, 0, tuple(flags))
    return Move(direction, direction * magnitude, math.ceil(magnitude), tuple(flags))


def _direction(text: str, flags: list[str]) -> int | None:
    """The first direction word that is not negated; flags a line that holds both directions."""
    found: list[int] = []
    for match in _WORD.finditer(text):
        if not _NEGATION.search(text[max(0, match.start() - 24) : match.start()]):
            found.append(1 if match["up"] else -1)
    if len(set(found)) == 2:
        flags.append("both_directions")
    return found[0] if found else None


def _size(text: str) -> Size | None:
    """The first quantity with a unit, else the first one (no year) that follows `by`."""
    bare: Size | None = None
    for match in _SIZE.finditer(text):
        if match["low_unit"] or match["high_unit"]:
            return _measure(match)
        if (
            bare is None
            and abs(float(match["low"])) <= _BARE_LIMIT
            and _BY.search(text[: match.start()])
        ):
            bare = _measure(match)
    return bare


def _measure(match: re.Match[str]) -> Size:
    low_text = match["low"]
    low = float(low_text)
    signed = low_text[0] in "+-"
    bound = " ".join((match["bound"] or "").split())
    if match["high"] is not None and (match["high_unit"] or not match["low_unit"]):
        high = float(match["high"])
        if low < 0 < high and match["high"][0] not in "+-":
            high = -high  # "-1-2%" and "-1 to 2%" carry the sign once
        return Size((low + high) / 2, signed, None)
    if match["plus"] or match["plus2"] or bound in _LOWER_BOUNDS:
        middle = math.copysign(abs(low) + 0.5, low)
        return Size(middle, signed, None if abs(low) >= _OPEN_BIN_FROM else "open_range")
    if bound:
        return Size(low / 2, signed, "open_range")
    return Size(low, signed, "single_value")
