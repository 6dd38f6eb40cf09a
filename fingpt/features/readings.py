"""Indicators as a prompt states them: a rounded number with its state in words, "not available" before enough closes.

They are computed over the newest `HISTORY` closes, however many there are, so that a training row and a forecast that
fetched less read the same. A recursive average is stated only once its start no longer shows in three digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingpt.features.indicators import Floats, ema, macd, rsi, sma
from fingpt.features.model import Reading
from fingpt.features.text import rounded

HISTORY = 250
"""Closes that indicators see: about a year."""

SMA_BARS, EMA_BARS = (20, 50), (20,)
RSI_WARMUP, MACD_WARMUP, EMA_WARMUP = 150, 100, 5
"""Closes until RSI and MACD no longer tell where they began; of an EMA that many times its length."""

OVERBOUGHT, OVERSOLD = 70.0, 30.0
"""Wilder's own levels."""


def readings(closes: Sequence[float]) -> tuple[Reading, ...]:
    """Every indicator over daily closes, the oldest first."""
    values = np.asarray(closes[-HISTORY:], dtype=np.float64)
    averages = [
        *((f"SMA({bars})", bars, sma(values, bars)) for bars in SMA_BARS),
        *((f"EMA({bars})", bars * EMA_WARMUP, ema(values, bars)) for bars in EMA_BARS),
    ]
    return (
        *(_average(name, warmup, values, line) for name, warmup, line in averages),
        _rsi(values),
        *_macd(values),
    )


def _missing(name: str, bars: int, warmup: int) -> Reading:
    return Reading(name=name, value=None, state=f"{bars} of {warmup} daily closes")


def _average(name: str, warmup: int, values: Floats, line: Floats) -> Reading:
    if values.size < warmup:
        return _missing(name, values.size, warmup)
    level = rounded(float(line[-1]))
    away = 100 * (values[-1] / line[-1] - 1)
    side = "above" if away >= 0 else "below"
    return Reading(name=name, value=level, state=f"the last close is {abs(away):.1f}% {side} it")


def _rsi(values: Floats) -> Reading:
    name = "RSI(14)"
    if values.size < RSI_WARMUP:
        return _missing(name, values.size, RSI_WARMUP)
    level = float(rsi(values)[-1])
    if np.isnan(level):
        return Reading(name=name, value=None, state="the price has not moved")
    shown = round(level, 1)
    state = f"neutral, between {OVERSOLD:g} and {OVERBOUGHT:g}"
    if shown > OVERBOUGHT:
        state = f"overbought, above {OVERBOUGHT:g}"
    if shown < OVERSOLD:
        state = f"oversold, below {OVERSOLD:g}"
    return Reading(name=name, value=shown, state=state)


def _macd(values: Floats) -> tuple[Reading, ...]:
    names = ("MACD(12,26)", "MACD signal(9)")
    if values.size < MACD_WARMUP:
        return tuple(_missing(name, values.size, MACD_WARMUP) for name in names)
    line, signal, _ = macd(values)
    now, before = line[-1] - signal[-1], line[-2] - signal[-2]
    side = "above" if now > 0 else "below"
    fresh = ", which it has just crossed" if (now > 0) != (before > 0) else ""
    slope = "rising" if signal[-1] > signal[-2] else "falling"
    return (
        Reading(
            name=names[0],
            value=rounded(float(line[-1]), 4),
            state=f"{side} its signal line{fresh}",
        ),
        Reading(name=names[1], value=rounded(float(signal[-1]), 4), state=slope),
    )
