"""What a person reads: sections, prediction, twelve probabilities, evidence, disclaimer, and nothing hostile."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fingpt.forecast.answer import parsed
from fingpt.forecast.record import DISCLAIMER, ForecastRecord
from fingpt.forecast.render import prediction, render
from fingpt.prompts.examples import LABELS
from tests.eval.invented import answer
from tests.forecast.conftest import FRIDAY

PLAIN = (0.02,) * 5 + (0.08, 0.5, 0.2) + (0.03,) * 4
"""Of the labels, the greatest fall first."""


def record(text: str = "", **changes: object) -> ForecastRecord:
    text = text or answer("Up", "1-2%")
    fields = {
        "symbol": "AAPL",
        "as_of": FRIDAY,
        "horizon_end": datetime(2026, 11, 27, 18, tzinfo=UTC),
        "created_at": datetime(2026, 11, 21, 9, tzinfo=UTC),
        "run": "tiny-llama31-0a1b2c3d",
        "model": "tiny-llama31",
        **dict.fromkeys(("adapter_sha256", "base_sha256", "prompt_sha256", "facts_sha256"), "f"),
        "facts": {},
        "answer": text,
        "parsed": parsed(text),
        "probabilities": PLAIN,
        "verdict": "On 300 test rows of 10 weeks this model did not beat always down.",
        "calibration": "Its chances were wrong by 4.0 points.",
        "code_version": "c",
        **changes,
    }
    return ForecastRecord.model_validate(fields)


def page(*args: str, **changes: object) -> str:
    return "\n".join(render(record(*args, **changes)))


def test_everything_that_is_promised_is_there():
    text = page()
    for words in (
        "AAPL at the close of 2026-11-20, for the week to 2026-11-27",
        "Positive developments\n  1. Orders grew.",
        "Potential concerns\n  1. Costs rose.",
        "Prediction  up by 1-2%",
        "Analysis\n  It adds up.",
        "did not beat always down",
        "wrong by 4.0 points",
    ):
        assert words in text
    assert DISCLAIMER.replace(" ", "") in text.replace(" ", "").replace("\n", "")


def test_the_table_has_every_label_from_the_greatest_rise_down_with_bars_by_size():
    lines = [line for line in render(record()) if any(f"  {label} " in line for label in LABELS)]
    assert [line.split("  ")[1].strip() for line in lines] == list(reversed(LABELS))
    bars = {line.split("  ")[1].strip(): line.count("█") for line in lines}
    assert bars["up by 0-1%"] == 24
    assert bars["up by 1-2%"] == 10
    assert "50.0 %" in next(line for line in lines if "up by 0-1%" in line)
    assert "any rise              82.0 %" in page()


def test_calibrated_probabilities_are_what_is_drawn_and_the_others_stand_beside_them():
    flat = (1 / 12,) * 12
    text = page(probabilities_calibrated=flat, temperature=2.5)
    assert "calibrated at temperature 2.50" in text
    assert "  up by 0-1%             8.3 %   50.0 %  ████" in text
    assert "no validation weeks to calibrate on" in page()


def test_an_answer_that_cannot_be_read_says_so_and_is_shown():
    text = page("I would rather not say.")
    assert "The answer cannot be read (no prediction)" in text
    assert "  I would rather not say." in text
    assert "Prediction  " not in text


def test_late_and_degraded_forecasts_say_so():
    text = page(
        late=True,
        degraded={"files/news": "no file"},
        dropped_news=3,
        truncated=True,
        warnings=["Doubtful."],
    )
    for words in (
        "LATE: ",
        "without files/news: no file",
        "3 of the oldest news",
        "cut off",
        "WARNING: Doubtful.",
    ):
        assert words in text


def test_what_a_model_writes_cannot_command_a_terminal():
    text = page(answer(analysis="\x1b[2J\u202eevil"))
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    ("direction", "size", "words"),
    [
        (1, 1, "up by 0-1%"),
        (1, 6, "up by more than 5%"),
        (-1, 1, "down by 0-1%"),
        (-1, 6, "down by more than 5%"),
        (1, None, "up"),
        (-1, None, "down"),
        (0, 0, "flat"),
        (None, None, "none"),
    ],
)
def test_predictions_are_told_in_the_words_of_labels(direction, size, words):
    assert prediction(direction, size) == words
