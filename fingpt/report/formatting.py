"""Numbers as text: one place for signs, rounding, intervals and units, in pages, charts and sentences."""

from __future__ import annotations

from fingpt.report.lines import Line
from fingpt.report.stats import Estimate

NONE = "–"


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A rounded number with a true minus sign; a dash for None; never `-0`."""
    if value is None:
        return NONE
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    if not any(c in "123456789" for c in text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(
    estimate: Estimate | None, digits: int, scale: float = 1.0, *, signed: bool = False
) -> str:
    """`low to high`, or a dash where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    low, high = (number(v * scale, digits, signed=signed) for v in (estimate.low, estimate.high))
    return f"{low} to {high}"


def value(line: Line, estimate: Estimate | None, *, signed: bool = False) -> str:
    """A line's value in its own scale and digits."""
    if estimate is None or estimate.value is None:
        return NONE
    return number(estimate.value * line.scale, line.digits, signed=signed)


def spread(line: Line, estimate: Estimate | None, *, signed: bool = False) -> str:
    """A line's 95 % interval in its own scale and digits."""
    return interval(estimate, line.digits, line.scale, signed=signed)


def unit(line: Line, *, difference: bool = False) -> str:
    """The unit of a line's values or, for percentages, of their differences."""
    return "points" if difference and line.unit == "%" else line.unit


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return NONE if share is None else f"{number(share * 100, digits)} %"


def p_value(p: float) -> str:
    """`p = 0.042`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {number(p, 3)}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
