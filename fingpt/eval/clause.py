"""Reads one sentence of a prediction: which way, how far, or that it does not decide. One pass over its words.

The clause that predicts decides. A cause (`despite positive earnings`), a condition (`if orders hold`), what was
(`after last week's drop`) and an aside in brackets do not. A contrast (`but may dip later`) decides only where
nothing else does, and undoes what it firmly denies. Negation reaches to the end of its clause, over `expected to`; a
blocked move (`prevent a fall`) is negated too, so `will not prevent a fall` is a fall. A lean (`stable with a slight
upward bias`) decides, a mere possibility (`potential for gains`) never beside anything else. Alternatives (`stable or
higher`) are undecided.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from fingpt.eval.lexicon import WORDS
from fingpt.eval.size import Size, sizes

_STRONG, _SOFT, _WEAK = 2, 1, 0


class _Place(Enum):
    """Where in the sentence a word stands."""

    MAIN = auto()
    CAUSE = auto()
    FROM = auto()  # a cause that "to" or "and" ends as well: "recover from its drop and gain"
    AFTER = auto()  # behind the comma of a cause: main clause, or more of the cause
    CONTRAST = auto()
    CONDITION = auto()


@dataclass(frozen=True, slots=True)
class _Signal:
    direction: int
    strength: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one sentence says: `direction`, or None; `undecided` where it names several; its size in points."""

    text: str
    direction: int | None
    undecided: bool
    size: Size | None


@dataclass(slots=True)
class _Reading:
    """State of the pass, and what was found by place."""

    place: _Place = _Place.MAIN
    depth: int = 0
    strength: int = _STRONG
    weak: bool = False
    negated: bool = False
    past: bool = False
    alternative: bool = False
    firm: bool = False
    undecided: bool = False
    mixed: bool = False
    mixed_before: bool = False  # "mixed" stood before the direction
    foretold: bool = False  # a contrast holds a forecast of its own: "volatile, but may rise"
    denied: int = 0
    was: _Signal | None = None  # a past move, which may yet continue
    main: list[_Signal] = field(default_factory=list)
    after: list[_Signal] = field(default_factory=list)
    contrast: list[_Signal] = field(default_factory=list)
    aside: list[_Signal] = field(default_factory=list)
    leans: list[int] = field(default_factory=list)
    sizes: list[tuple[int, Size]] = field(default_factory=list)

    def signals(self) -> list[_Signal] | None:
        """The list of the present place; None in a cause or a condition."""
        if self.place in (_Place.CAUSE, _Place.FROM, _Place.CONDITION):
            return None
        if self.depth:
            return self.aside
        places = {_Place.AFTER: self.after, _Place.CONTRAST: self.contrast}
        return places.get(self.place, self.main)

    def new_clause(self) -> None:
        self.strength, self.weak, self.negated, self.past = _STRONG, False, False, False


def read_sentence(text: str) -> Sentence:
    """Read one sentence, lower case and with plain numbers as `statement.normal` gives it."""
    reading = _Reading()
    quantities = list(sizes(text))
    for match in WORDS.finditer(text):
        while quantities and quantities[0].start < match.start():
            _place_size(reading, quantities.pop(0))
        kind = str(match.lastgroup)
        if kind in _DIRECTIONS:
            _signal(reading, _DIRECTIONS[kind])
        elif kind in _RULES:
            _RULES[kind](reading)
        elif kind in _WORDED:
            _WORDED[kind](reading, match)
    for quantity in quantities:
        _place_size(reading, quantity)
    direction, undecided = _decide(reading)
    size = min(reading.sizes, key=lambda placed: placed[0], default=(0, None))[1]
    if direction is None and not undecided and not reading.denied and size is not None:
        if size.signed and size.middle:
            direction = int(math.copysign(1, size.middle))
        elif size.middle == 0:
            direction = 0
    return Sentence(text, direction, undecided, size)


_DIRECTIONS = {"up": 1, "down": -1, "flat": 0}


def _signal(reading: _Reading, direction: int) -> None:
    """A word of direction: kept where it stands, unless it is negated, past, or part of a cause."""
    signals = reading.signals()
    if signals is None:
        return
    strength = _WEAK if reading.weak else reading.strength
    if reading.past:
        reading.was = _Signal(direction, strength)
        return
    if reading.negated:
        reading.denied += 1
        return
    if reading.alternative and any(one.direction != direction for one in signals):
        reading.undecided = True
    reading.alternative = False
    if reading.mixed and not signals:
        reading.mixed_before = True
    signals.append(_Signal(direction, strength))


def _lean(reading: _Reading, match: re.Match[str]) -> None:
    if reading.signals() is None or reading.negated or reading.past:
        return
    reading.leans.append(1 if match.lastgroup == "lean_up" else -1)


def _place_size(reading: _Reading, size: Size) -> None:
    """A size counts in the clause that predicts, then in an aside, then in a contrast."""
    if reading.signals() is None or reading.negated or reading.past:
        return
    rank = 2 if reading.place is _Place.CONTRAST else (1 if reading.depth else 0)
    reading.sizes.append((rank, size))


def _cause(reading: _Reading) -> None:
    if reading.place is not _Place.CONDITION and not reading.depth:
        reading.place = _Place.CAUSE


def _from(reading: _Reading) -> None:
    if reading.place in (_Place.MAIN, _Place.AFTER) and not reading.depth:
        reading.place = _Place.FROM


def _lead(reading: _Reading) -> None:
    """`leading to a decline` is a consequence again, also behind a cause."""
    if reading.place in (_Place.CAUSE, _Place.FROM, _Place.AFTER):
        reading.place = _Place.MAIN
    reading.negated = reading.past = False


def _condition(reading: _Reading) -> None:
    if reading.depth:
        return
    reading.place = _Place.CONDITION
    if reading.mixed and reading.leans:  # "mixed, with an upward trend if …"
        reading.leans.clear()
        reading.undecided = True


def _concession(reading: _Reading) -> None:
    """`While …, …` opens like a cause; behind a forecast it is a contrast."""
    if reading.depth:
        return
    found = reading.main or reading.after or reading.leans
    reading.place = _Place.CONTRAST if found or reading.mixed else _Place.CAUSE
    reading.new_clause()


def _contrast(reading: _Reading) -> None:
    if reading.depth:
        return
    reading.new_clause()
    reading.alternative = False
    found = reading.main or reading.after or reading.leans
    reading.place = _Place.CONTRAST if found or reading.mixed else _Place.MAIN


def _firm(reading: _Reading, match: re.Match[str]) -> None:
    if reading.place is _Place.CONTRAST and "ultimate" not in match.group():
        reading.firm = True


def _modal(reading: _Reading) -> None:
    """A verb of forecast: what stands behind the comma of a cause is the main clause."""
    if reading.place is _Place.AFTER:
        reading.after.clear()
        reading.place = _Place.MAIN
    if reading.place is not _Place.CAUSE:
        reading.past = False
    reading.foretold = reading.foretold or reading.place is _Place.CONTRAST
    reading.strength = _STRONG


def _soft(reading: _Reading, match: re.Match[str]) -> None:
    if match.group() in ("may", "might", "could", "can"):
        _modal(reading)
    reading.strength = _SOFT


def _weak(reading: _Reading) -> None:
    reading.weak = True


def _unlikely(reading: _Reading, match: re.Match[str]) -> None:
    """`unlikely to fall` negates what follows, `a fall is unlikely` what stands before."""
    follows = match.string[match.end() : match.end() + 6].lstrip()
    signals = reading.signals()
    if follows.startswith(("to ", "that ")) or not signals:
        reading.negated = True
    else:
        signals.pop()
        reading.denied += 1


def _block(reading: _Reading) -> None:
    if reading.signals() is not None:
        reading.negated = not reading.negated


def _negation(reading: _Reading) -> None:
    if reading.signals() is not None:
        reading.negated = True


def _continue(reading: _Reading) -> None:
    reading.past = False
    signals = reading.signals()
    if reading.was is not None and signals is not None and not reading.negated:
        signals.append(reading.was)
        reading.was = None


def _past(reading: _Reading, match: re.Match[str]) -> None:
    before = match.string[max(0, match.start() - 22) : match.start()]
    if "continu" not in before and "maintain" not in before:
        reading.past = True


def _up_to(reading: _Reading) -> None:
    """`Up to 2%` is up, where no other word says so."""
    if reading.signals() == [] and not reading.negated:
        reading.aside.append(_Signal(1, _STRONG))


def _or(reading: _Reading) -> None:
    reading.alternative = bool(reading.signals())


def _and(reading: _Reading) -> None:
    if reading.place is _Place.FROM:
        reading.place = _Place.MAIN
    reading.negated = False


def _to(reading: _Reading) -> None:
    if reading.place is _Place.FROM:
        reading.place = _Place.MAIN


def _open(reading: _Reading) -> None:
    reading.depth += 1


def _close(reading: _Reading) -> None:
    reading.depth = max(0, reading.depth - 1)
    if reading.depth == 0:
        reading.past = False


def _comma(reading: _Reading) -> None:
    if reading.place in (_Place.CAUSE, _Place.FROM) and not reading.depth:
        reading.place = _Place.AFTER
    reading.past = reading.weak = False
    if reading.denied:
        reading.negated = False


def _mixed(reading: _Reading) -> None:
    if reading.signals() is None or reading.negated or reading.depth:
        return
    reading.mixed = True
    reading.undecided = reading.undecided or reading.alternative


def _either(reading: _Reading) -> None:
    if reading.signals() is not None and not reading.negated:
        reading.undecided = True


_RULES: dict[str, Callable[[_Reading], None]] = {
    "either": _either,
    "mixed": _mixed,
    "lead": _lead,
    "from": _from,
    "cause": _cause,
    "condition": _condition,
    "concession": _concession,
    "contrast": _contrast,
    "weak": _weak,
    "block": _block,
    "negation": _negation,
    "modal": _modal,
    "continue": _continue,
    "up_to": _up_to,
    "to": _to,
    "either_or": _or,
    "and": _and,
    "open": _open,
    "close": _close,
    "comma": _comma,
}
_WORDED: dict[str, Callable[[_Reading, re.Match[str]], None]] = {
    "lean_up": _lean,
    "lean_down": _lean,
    "firm": _firm,
    "soft": _soft,
    "unlikely": _unlikely,
    "past": _past,
}


def _decide(reading: _Reading) -> tuple[int | None, bool]:
    """Direction, and whether the sentence names several."""
    main = reading.main or reading.after
    if reading.undecided:
        return None, True
    if reading.leans:
        return _of_leans(reading, main)
    firm = {one.direction for one in main if one.strength > _WEAK}
    if len(firm) > 1 or (firm and reading.mixed_before):
        return None, True
    if firm:
        return _against(reading, firm.pop(), main)
    contrast = {one.direction for one in reading.contrast if one.strength > _WEAK}
    if len(contrast) == 1 and (reading.foretold or not reading.mixed):
        return contrast.pop(), False
    rest = {one.direction for one in main or reading.aside}
    if contrast or (reading.mixed and rest):
        return None, True
    return (rest.pop(), False) if len(rest) == 1 else (None, bool(rest))


def _of_leans(reading: _Reading, main: list[_Signal]) -> tuple[int | None, bool]:
    leans = set(reading.leans)
    against = {one.direction for one in main if one.strength > _WEAK} - leans - {0}
    denied = {one.direction for one in reading.contrast if one.strength == _STRONG} - leans - {0}
    if len(leans) > 1 or against or denied:
        return None, True
    return leans.pop(), False


def _against(reading: _Reading, direction: int, main: list[_Signal]) -> tuple[int | None, bool]:
    """The direction of the main clause, unless a contrast takes it back or, flat, it may be left."""
    opposed = [one for one in reading.contrast if one.direction not in (direction, 0)]
    if direction == 0:
        left = opposed or [one for one in main if one.direction]
    else:
        left = [one for one in opposed if one.strength == _STRONG or reading.firm]
    return (None, True) if left else (direction, False)
