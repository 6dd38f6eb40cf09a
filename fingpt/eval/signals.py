"""What the pass over a sentence has found, by place, and what that decides."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from fingpt.eval.size import Size

STRONG, SOFT, WEAK = 2, 1, 0


class Place(Enum):
    """Where in the sentence a word stands."""

    MAIN = auto()
    CAUSE = auto()
    FROM = auto()  # a cause that "to" or "and" ends as well: "recover from its drop and gain"
    AFTER = auto()  # behind the comma of a cause: main clause, or more of the cause
    CONTRAST = auto()
    CONDITION = auto()


@dataclass(frozen=True, slots=True)
class Signal:
    """A word of direction: +1, 0 or -1, and how firmly it is said."""

    direction: int
    strength: int


@dataclass(slots=True)
class Reading:
    """State of the pass, and what was found by place."""

    place: Place = Place.MAIN
    depth: int = 0
    strength: int = STRONG
    weak: bool = False
    negated: bool = False
    past: bool = False
    nominal: bool = False  # the cause is a noun
    alternative: bool = False
    since: int = 0  # signals of the present clause start here in their list
    firm: bool = False
    undecided: bool = False
    mixed: bool = False
    mixed_before: bool = False  # "mixed" stood before the direction
    foretold: bool = False  # a contrast holds a forecast of its own: "volatile, but may rise"
    denied: int = 0
    was: Signal | None = None  # a past move, which may yet continue
    main: list[Signal] = field(default_factory=list)
    after: list[Signal] = field(default_factory=list)
    contrast: list[Signal] = field(default_factory=list)
    aside: list[Signal] = field(default_factory=list)
    leans: list[int] = field(default_factory=list)
    part: int = 0  # counts the parts between commas
    parts: set[int] = field(default_factory=set)  # those that hold a direction
    sizes: list[tuple[int, int, Size]] = field(default_factory=list)

    def signals(self) -> list[Signal] | None:
        """The list of the present place; None in a cause or a condition."""
        if self.place in (Place.CAUSE, Place.FROM, Place.CONDITION):
            return None
        if self.depth:
            return self.aside
        places = {Place.AFTER: self.after, Place.CONTRAST: self.contrast}
        return places.get(self.place, self.main)

    def new_clause(self) -> None:
        """What was said of the clause before holds no more."""
        self.strength, self.weak, self.negated, self.past = STRONG, False, False, False
        self.since = len(self.signals() or ())

    def soften(self, strength: int) -> None:
        """`A rebound could follow`, `a pullback is possible`: what stands before is softer as well."""
        signals = self.signals() or []
        signals[self.since :] = [
            replace(one, strength=min(one.strength, strength)) for one in signals[self.since :]
        ]


def own_size(reading: Reading) -> Size | None:
    """The first size by place, and there of the part that names the direction."""
    return min(
        reading.sizes,
        key=lambda placed: (placed[0], placed[1] not in reading.parts),
        default=(0, 0, None),
    )[2]


def decide(reading: Reading) -> tuple[int | None, bool]:
    """Direction, and whether the sentence names several."""
    main = reading.main or reading.after
    if reading.undecided:
        return None, True
    if reading.leans:
        return _of_leans(reading, main)
    firm = {one.direction for one in main if one.strength > WEAK}
    if len(firm) > 1 or (firm and reading.mixed_before):
        return None, True
    if firm:
        return _against(reading, firm.pop(), main)
    contrast = {one.direction for one in reading.contrast if one.strength > WEAK}
    if len(contrast) == 1 and (reading.foretold or not reading.mixed):
        return contrast.pop(), False
    rest = {one.direction for one in main or reading.aside}
    if contrast or (reading.mixed and rest):
        return None, True
    return (rest.pop(), False) if len(rest) == 1 else (None, bool(rest))


def _of_leans(reading: Reading, main: list[Signal]) -> tuple[int | None, bool]:
    leans = set(reading.leans)
    against = {one.direction for one in main if one.strength > WEAK} - leans - {0}
    denied = {one.direction for one in reading.contrast if one.strength == STRONG} - leans - {0}
    if len(leans) > 1 or against or denied:
        return None, True
    return leans.pop(), False


def _against(reading: Reading, direction: int, main: list[Signal]) -> tuple[int | None, bool]:
    """The direction of the main clause, unless a contrast takes it back or, flat, it may be left."""
    opposed = [one for one in reading.contrast if one.direction not in (direction, 0)]
    if direction == 0:
        left = opposed or [one for one in main if one.direction]
    else:
        left = [one for one in opposed if one.strength == STRONG or reading.firm]
    return (None, True) if left else (direction, False)
