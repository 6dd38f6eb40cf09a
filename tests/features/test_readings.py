"""Indicators in words: the state fits the number, and old history has no say."""

from __future__ import annotations

import numpy as np
import talib

from fingpt.features.readings import HISTORY, readings
from fingpt.features.text import rounded


def walk(seed: int, drift: float = 0.0, length: int = 400) -> list[float]:
    rng = np.random.default_rng(seed)
    return (100 * np.exp(np.cumsum(rng.normal(drift, 0.01, length)))).tolist()


def by_name(closes) -> dict:
    return {reading.name: reading for reading in readings(closes)}


def test_closes_before_the_newest_250_change_nothing() -> None:
    closes = walk(1)
    strange = [1e6, 1e-3] * 75 + closes[-HISTORY:]
    assert readings(strange) == readings(closes) == readings(closes[-HISTORY:])


def test_numbers_are_ta_lib_s_rounded() -> None:
    closes = np.array(walk(2)[-HISTORY:])
    found = by_name(closes)
    line, signal, _ = talib.MACD(closes)
    assert found["SMA(50)"].value == rounded(talib.SMA(closes, 50)[-1])
    assert found["RSI(14)"].value == round(talib.RSI(closes, 14)[-1], 1)
    assert abs(found["MACD(12,26)"].value - line[-1]) < 1e-3
    assert abs(found["MACD signal(9)"].value - signal[-1]) < 1e-3


def test_states_say_what_the_numbers_are() -> None:
    seen = set()
    for seed in range(12):
        for drift in (-0.01, 0.0, 0.01):
            closes = walk(seed, drift)
            found = by_name(closes)
            level, state = found["RSI(14)"].value, found["RSI(14)"].state
            word = "overbought" if level > 70 else "oversold" if level < 30 else "neutral"
            assert state.startswith(word)
            seen.add(word)
            above = found["MACD(12,26)"].value > found["MACD signal(9)"].value
            assert found["MACD(12,26)"].state.startswith("above" if above else "below")
            average = found["SMA(20)"]
            assert ("above it" in average.state) == (closes[-1] >= average.value)
    assert seen == {"overbought", "oversold", "neutral"}


def test_a_price_that_has_not_moved_has_no_rsi_and_says_so() -> None:
    reading = by_name([50.0] * 300)["RSI(14)"]
    assert (reading.value, reading.state) == (None, "the price has not moved")
