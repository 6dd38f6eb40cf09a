"""Four technical indicators over closes, as TA-Lib defines them (C core 0.8): SMA, EMA, RSI by Wilder, MACD. Pure.

Every function takes finite daily closes, the oldest first, and gives as many values, NaN where TA-Lib has none yet.
Tests hold each against TA-Lib to 1e-9. One difference is wanted: where nothing has moved, RSI is NaN and not 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fingpt.errors import DataError

Floats = NDArray[np.float64]


def sma(closes: ArrayLike, bars: int) -> Floats:
    """Simple moving average: the mean of the last `bars` closes, from bar `bars` on."""
    values = _checked(closes, bars)
    found = np.full(values.size, np.nan)
    if values.size >= bars:
        found[bars - 1 :] = np.lib.stride_tricks.sliding_window_view(values, bars).mean(axis=1)
    return found


def ema(closes: ArrayLike, bars: int) -> Floats:
    """Exponential moving average with k = 2 / (bars + 1), seeded by the simple mean of the first `bars` closes."""
    return _ema(_checked(closes, bars), bars, bars)


def rsi(closes: ArrayLike, bars: int = 14) -> Floats:
    """Relative strength index of Wilder (1978), 0 to 100, from bar `bars` + 1 on.

    Average gain and loss start as simple means of the first `bars` changes; each later change enters with weight
    1 / bars. NaN where both averages are zero: a price that has not moved has no strength.
    """
    values = _checked(closes, bars)
    found = np.full(values.size, np.nan)
    if values.size <= bars:
        return found
    changes = np.diff(values)
    gains, losses = np.maximum(changes, 0.0).tolist(), np.maximum(-changes, 0.0).tolist()
    gain, loss = sum(gains[:bars]) / bars, sum(losses[:bars]) / bars
    for place in range(bars, values.size):
        if place > bars:
            gain = (gain * (bars - 1) + gains[place - 1]) / bars
            loss = (loss * (bars - 1) + losses[place - 1]) / bars
        if gain + loss > 0:
            found[place] = 100.0 * gain / (gain + loss)
    return found


def macd(
    closes: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9
) -> tuple[Floats, Floats, Floats]:
    """Moving average convergence/divergence (Appel): line = EMA(fast) − EMA(slow), its EMA(signal), their difference.

    As TA-Lib has it, the fast average is seeded at bar `slow` by the mean of the last `fast` of these bars, and all
    three begin where the signal does. DataError where `fast` is not below `slow`.
    """
    values = _checked(closes, min(fast, signal))
    if fast >= slow:
        raise DataError(f"MACD needs a fast average below the slow one, not {fast} and {slow}.")
    nothing = np.full(values.size, np.nan)
    first = slow + signal - 2
    if values.size <= first:
        return nothing, nothing.copy(), nothing.copy()
    line = _ema(values, fast, slow) - _ema(values, slow, slow)
    smooth = nothing.copy()
    smooth[slow - 1 :] = _ema(line[slow - 1 :], signal, signal)
    line[:first] = np.nan
    return line, smooth, line - smooth


def _ema(values: Floats, bars: int, seed_at: int) -> Floats:
    """EMA over `bars` whose seed is the mean of the last `bars` of the first `seed_at` values."""
    found = np.full(values.size, np.nan)
    if values.size < seed_at:
        return found
    k = 2.0 / (bars + 1)
    current = float(values[seed_at - bars : seed_at].mean())
    smoothed = [current]
    for value in values[seed_at:].tolist():
        current += k * (value - current)
        smoothed.append(current)
    found[seed_at - 1 :] = smoothed
    return found


def _checked(closes: ArrayLike, bars: int) -> Floats:
    """`closes` as doubles: one gap inside would be carried on silently, and RSI would become 0 for ever."""
    values = np.asarray(closes, dtype=np.float64)
    if bars < 2:
        raise DataError(f"An indicator over {bars} bars has no meaning; take at least 2.")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise DataError(
            "Indicators need one row of finite closes; leave out the sessions without a close."
        )
    return values
