"""Each indicator is TA-Lib's own to 1e-9, on walks, gaps, flats and series of every length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import talib

from fingpt.errors import DataError
from fingpt.features.indicators import ema, macd, rsi, sma

CLOSE = 1e-9
LENGTHS = (1, 2, 13, 14, 15, 25, 26, 27, 33, 34, 35, 60, 300)


def walk(seed: int, length: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 100 * np.exp(np.cumsum(rng.normal(0, 0.02, length)))


def gapped(seed: int) -> np.ndarray:
    """A walk with jumps of a half and a double, as an unadjusted split or a takeover makes them."""
    values = walk(seed)
    values[120:] *= 0.5
    values[200:] *= 2.2
    return values


def partly_flat(seed: int) -> np.ndarray:
    values = walk(seed)
    values[40:90] = values[40]
    values[150:] = values[150]
    return values


SERIES = {
    **{f"walk {seed}": walk(seed) for seed in range(20)},
    **{f"gaps {seed}": gapped(seed) for seed in range(5)},
    **{f"partly flat {seed}": partly_flat(seed) for seed in range(5)},
    **{f"{length} bars": walk(length, length) for length in LENGTHS},
    "only up": np.arange(1.0, 200.0),
    "only down": np.arange(200.0, 1.0, -1),
    "tiny": walk(7) * 1e-4,
    "huge": walk(8) * 1e6,
}
OURS_AND_THEIRS: dict[str, tuple[Callable, Callable]] = {
    "sma 20": (lambda v: sma(v, 20), lambda v: talib.SMA(v, 20)),
    "sma 50": (lambda v: sma(v, 50), lambda v: talib.SMA(v, 50)),
    "ema 20": (lambda v: ema(v, 20), lambda v: talib.EMA(v, 20)),
    "rsi 14": (rsi, lambda v: talib.RSI(v, 14)),
    "rsi 5": (lambda v: rsi(v, 5), lambda v: talib.RSI(v, 5)),
    "macd line": (lambda v: macd(v)[0], lambda v: talib.MACD(v)[0]),
    "macd signal": (lambda v: macd(v)[1], lambda v: talib.MACD(v)[1]),
    "macd histogram": (lambda v: macd(v)[2], lambda v: talib.MACD(v)[2]),
    "macd 5 9 3": (lambda v: macd(v, 5, 9, 3)[1], lambda v: talib.MACD(v, 5, 9, 3)[1]),
}


@pytest.mark.parametrize("name", OURS_AND_THEIRS)
def test_an_indicator_is_ta_lib_s(name: str) -> None:
    ours, theirs = OURS_AND_THEIRS[name]
    for series, values in SERIES.items():
        scale = max(1.0, float(np.abs(values).max()) / 1000)
        got, wanted = ours(values), theirs(values)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted), err_msg=series)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=CLOSE * scale, err_msg=series)


@pytest.mark.parametrize("length", [15, 40, 300])
def test_rsi_of_what_has_never_moved_is_not_a_number_where_ta_lib_says_0(length: int) -> None:
    values = np.full(length, 42.0)
    assert np.isnan(rsi(values)).all()
    assert (talib.RSI(values, 14)[14:] == 0).all()


def test_first_values_come_as_early_as_the_definitions_allow() -> None:
    values = walk(1, 60)
    first = {
        "sma": int(np.argmax(np.isfinite(sma(values, 20)))),
        "ema": int(np.argmax(np.isfinite(ema(values, 20)))),
        "rsi": int(np.argmax(np.isfinite(rsi(values)))),
        "macd": int(np.argmax(np.isfinite(macd(values)[1]))),
    }
    assert first == {"sma": 19, "ema": 19, "rsi": 14, "macd": 33}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gap_is_refused_and_never_carried_on(bad: float) -> None:
    values = walk(1, 60)
    values[30] = bad
    for name, (ours, _) in OURS_AND_THEIRS.items():
        with pytest.raises(DataError, match="finite closes"):
            ours(values)
        assert name


def test_averages_that_mean_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        sma(walk(1), 1)
    with pytest.raises(DataError, match="fast average below the slow"):
        macd(walk(1), 26, 12)
