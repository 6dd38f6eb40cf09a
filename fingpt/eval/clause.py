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
from dataclasses import dataclass

from fingpt.eval.lexicon import WORDS
from fingpt.eval.signals import SOFT, STRONG, WEAK, Place, Reading, Signal, decide, own_size
from fingpt.eval.size import Size, sizes


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one sentence says: `direction`, or None; `undecided` where it names several; its size in points.

    `by_sign`: no word gives the direction, only the sign of the size. `mixed`: it speaks of volatility.
    """

    text: str
    direction: int | None
    undecided: bool
    size: Size | None
    by_sign: bool = False
    mixed: bool = False


def read_sentence(text: str) -> Sentence:
    """Read one sentence, lower case and with plain numbers as `statement.normal` gives it."""
    reading = Reading()
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
    direction, undecided = decide(reading)
    size = own_size(reading)
    told = direction is not None or undecided or reading.denied
    if size is None or told or not (size.signed or not size.middle):
        return Sentence(text, direction, undecided, size, mixed=reading.mixed)
    if reading.mixed and not size.middle:  # "volatile, -3% to +3%"
        return Sentence(text, None, True, size, mixed=True)
    signed = int(math.copysign(1, size.middle)) if size.middle else 0
    return Sentence(text, signed, undecided, size, by_sign=True)


_DIRECTIONS = {"up": 1, "down": -1, "flat": 0}


def _signal(reading: Reading, direction: int) -> None:
    """A word of direction: kept where it stands, unless it is negated, past, or part of a cause."""
    signals = reading.signals()
    if signals is None:
        return
    strength = WEAK if reading.weak else reading.strength
    if reading.negated:
        reading.denied += 1
        return
    if reading.past:
        reading.was = Signal(direction, strength)
        return
    if reading.alternative and any(one.direction != direction for one in signals):
        reading.undecided = True
    reading.alternative = False
    if reading.mixed and not signals:
        reading.mixed_before = True
    reading.parts.add(reading.part)
    signals.append(Signal(direction, strength))


def _lean(reading: Reading, match: re.Match[str]) -> None:
    if reading.signals() is None or reading.negated or reading.past:
        return
    reading.parts.add(reading.part)
    reading.leans.append(1 if match.lastgroup == "lean_up" else -1)


def _place_size(reading: Reading, size: Size) -> None:
    """A size counts in the clause that predicts, then in an aside, then in a contrast."""
    if reading.signals() is None or reading.negated or reading.past:
        return
    rank = 2 if reading.place is Place.CONTRAST else (1 if reading.depth else 0)
    reading.sizes.append((rank, reading.part, size))


def _cause(reading: Reading) -> None:
    """`Due to`, `after`, `despite`: a noun follows, and with a verb of forecast the clause goes on."""
    _reason(reading)
    reading.nominal = True


def _reason(reading: Reading) -> None:
    """`Because`, `as`: a clause of its own follows."""
    if reading.place is not Place.CONDITION and not reading.depth:
        reading.place = Place.CAUSE
        reading.nominal = False


def _from(reading: Reading) -> None:
    if reading.place in (Place.MAIN, Place.AFTER) and not reading.depth:
        reading.place = Place.FROM


def _lead(reading: Reading) -> None:
    """`leading to a decline` is a consequence again, also behind a cause."""
    if reading.place in (Place.CAUSE, Place.FROM, Place.AFTER):
        reading.place = Place.MAIN
    reading.negated = reading.past = False


def _condition(reading: Reading) -> None:
    if reading.depth:
        return
    reading.place = Place.CONDITION
    if reading.mixed and reading.leans:  # "mixed, with an upward trend if …"
        reading.leans.clear()
        reading.undecided = True


def _concession(reading: Reading) -> None:
    """`While …, …` opens like a cause; behind a forecast it is a contrast."""
    if reading.depth:
        return
    found = reading.main or reading.after or reading.leans
    reading.place = Place.CONTRAST if found or reading.mixed else Place.CAUSE
    reading.new_clause()


def _contrast(reading: Reading) -> None:
    if reading.depth:
        return
    reading.alternative = False
    found = reading.main or reading.after or reading.leans
    reading.place = Place.CONTRAST if found or reading.mixed else Place.MAIN
    reading.new_clause()


def _firm(reading: Reading, match: re.Match[str]) -> None:
    if reading.place is Place.CONTRAST and "ultimate" not in match.group():
        reading.firm = True


def _modal(reading: Reading) -> None:
    """A verb of forecast: what stands behind the comma of a cause is the main clause."""
    if reading.place is Place.AFTER:
        reading.main += reading.after[reading.since :]  # "given the mood, a decline is likely"
        reading.after.clear()
        reading.place = Place.MAIN
        reading.since = 0
    if reading.place is Place.CAUSE and reading.nominal and not (reading.main or reading.leans):
        reading.place = Place.MAIN
    if reading.place is not Place.CAUSE:
        reading.past = False
    reading.foretold = reading.foretold or reading.place is Place.CONTRAST
    reading.strength = STRONG


def _soft(reading: Reading, match: re.Match[str]) -> None:
    if match.group() in ("may", "might", "could", "can"):
        _modal(reading)
        if reading.place is Place.CONTRAST:
            reading.soften(SOFT)
    reading.strength = SOFT


def _weak(reading: Reading) -> None:
    reading.weak = True
    if reading.place is Place.CONTRAST:
        reading.soften(WEAK)


def _unlikely(reading: Reading, match: re.Match[str]) -> None:
    """`unlikely to fall` negates what follows, `a fall is unlikely` what stands before."""
    follows = match.string[match.end() : match.end() + 6].lstrip()
    signals = reading.signals()
    if follows.startswith(("to ", "that ")) or not signals:
        reading.negated = True
    else:
        signals.pop()
        reading.denied += 1


def _undone(reading: Reading) -> None:
    """`The downward trend will reverse`, `gains will be erased`: what stands before holds no more."""
    signals = reading.signals()
    if signals and not reading.negated:
        reading.denied += len(signals) - reading.since
        del signals[reading.since :]
        reading.alternative = False


def _block(reading: Reading) -> None:
    if reading.signals() is not None:
        reading.negated = not reading.negated


def _negation(reading: Reading) -> None:
    if reading.signals() is not None:
        reading.negated = True


def _continue(reading: Reading) -> None:
    reading.past = False
    signals = reading.signals()
    if reading.was is not None and signals is not None and not reading.negated:
        signals.append(reading.was)
        reading.was = None


def _past(reading: Reading, match: re.Match[str]) -> None:
    before = match.string[max(0, match.start() - 22) : match.start()]
    if "continu" not in before and "maintain" not in before:
        reading.past = True


def _up_to(reading: Reading) -> None:
    """`Up to 2%` is up, where no other word says so."""
    if reading.signals() == [] and not reading.negated:
        reading.aside.append(Signal(1, STRONG))


def _or(reading: Reading) -> None:
    reading.alternative = bool(reading.signals())


def _and(reading: Reading) -> None:
    if reading.place is Place.FROM:
        reading.place = Place.MAIN
        reading.past = False
    reading.negated = False


def _to(reading: Reading) -> None:
    if reading.place is Place.FROM:
        reading.place = Place.MAIN


def _open(reading: Reading) -> None:
    reading.depth += 1


def _close(reading: Reading) -> None:
    reading.depth = max(0, reading.depth - 1)
    if reading.depth == 0:
        reading.past = False


def _comma(reading: Reading) -> None:
    if reading.place in (Place.CAUSE, Place.FROM) and not reading.depth:
        reading.place = Place.AFTER
    reading.since = len(reading.signals() or ())
    reading.part += not reading.depth
    reading.past = reading.weak = False
    if reading.denied:
        reading.negated = False


def _mixed(reading: Reading) -> None:
    if reading.signals() is None or reading.negated or reading.depth:
        return
    reading.mixed = True
    reading.undecided = reading.undecided or reading.alternative


def _either(reading: Reading) -> None:
    if reading.signals() is not None and not reading.negated:
        reading.undecided = True


_RULES: dict[str, Callable[[Reading], None]] = {
    "either": _either, "mixed": _mixed, "lead": _lead, "from": _from, "cause": _cause, "reason": _reason,
    "undone": _undone, "condition": _condition, "concession": _concession, "contrast": _contrast, "weak": _weak,
    "block": _block, "negation": _negation, "modal": _modal, "continue": _continue, "up_to": _up_to, "to": _to,
    "either_or": _or, "and": _and, "open": _open, "close": _close, "comma": _comma,
}  # fmt: skip
_WORDED: dict[str, Callable[[Reading, re.Match[str]], None]] = {
    "lean_up": _lean,
    "lean_down": _lean,
    "firm": _firm,
    "soft": _soft,
    "unlikely": _unlikely,
    "past": _past,
}
