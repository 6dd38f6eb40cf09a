"""Invented rows in the published form."""

from __future__ import annotations

from fingpt.models import spec
from fingpt.prompts.examples import Example

MODEL = spec("tiny-llama31")


def answer(direction: str = "Up", size: str = "2-3%", analysis: str = "It adds up.") -> str:
    """An answer in the published form."""
    return (
        "[Positive Developments]:\n1. Orders grew.\n\n[Potential Concerns]:\n1. Costs rose.\n\n"
        f"[Prediction & Analysis]:\nPrediction: {direction} by {size}\nAnalysis: {analysis}"
    )


def example(number: int) -> Example:
    """An invented row; rows differ in length."""
    text = answer("Up" if number % 2 else "Down", analysis=f"Case {number}.")
    return Example(
        system="You forecast.",
        user="News. " * (3 + number % 4) + str(number),
        answer=text,
        symbol=f"S{number}",
        period="2024-01-07 to 2024-01-14",
        label="up by 2-3%" if number % 2 else "down by 2-3%",
        prompt="",
        raw_answer=text,
    )
