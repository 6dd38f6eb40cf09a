"""A forecast as a person reads it on a terminal: sections, prediction, probabilities with bars, evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from fingpt import log
from fingpt.forecast.record import ForecastRecord
from fingpt.prompts.examples import LABELS

WIDTH = 96
_BAR = 24
_TITLES = {"pros": "Positive developments", "cons": "Potential concerns", "analysis": "Analysis"}


def render(record: ForecastRecord) -> list[str]:
    """The lines of one forecast; every text of the model and of the data is made harmless for a terminal."""
    lines = [
        f"{record.symbol} at the close of {record.as_of.date()}, for the week to {record.horizon_end.date()}",
        f"run {record.run}, asked {record.created_at:%Y-%m-%d %H:%M} UTC",
    ]
    if record.late:
        lines.append("LATE: asked when the week had begun, so it is no evidence of anything.")
    lines += [f"without {part}: {why}" for part, why in sorted(record.degraded.items())]
    if record.dropped_news:
        lines.append(f"{record.dropped_news} of the oldest news had no room in the prompt")
    for warning in record.warnings:
        lines += wrap(f"WARNING: {warning}", WIDTH, break_long_words=False)
    lines += ["", *_answer(record), "", *_table(record), ""]
    lines += [*_paragraph("Calibration", record.calibration)] if record.calibration else []
    lines += [*_paragraph("Skill", record.verdict), *_paragraph("Disclaimer", record.disclaimer)]
    return [log.printable(line) for line in lines]


def _answer(record: ForecastRecord) -> Iterator[str]:
    parsed = record.parsed
    if parsed.reason:
        yield f"The answer cannot be read ({parsed.reason}); as it was written:"
        yield from _indented(record.answer or "(nothing)")
        return
    for name in ("pros", "cons"):
        yield _TITLES[name]
        yield from _indented(parsed.sections.get(name) or "(none given)")
    yield f"Prediction  {prediction(parsed.direction, parsed.bin)}"
    yield _TITLES["analysis"]
    yield from _indented(parsed.sections.get("analysis") or "(none given)")
    if record.truncated:
        yield "(the answer was cut off at eval.max_new_tokens)"


def prediction(direction: int | None, bin_number: int | None) -> str:
    """A direction and its bin in the words of labels: `up by 2-3%`, `down`, `flat`."""
    if not direction:
        return "flat" if direction == 0 else "none"
    side = [label for label in LABELS if label.startswith("up" if direction > 0 else "down")]
    sizes = side if direction > 0 else side[::-1]
    return sizes[bin_number - 1] if bin_number else ("up" if direction > 0 else "down")


def _table(record: ForecastRecord) -> Iterator[str]:
    """The twelve labels, the greatest rise first, with a bar of the probabilities that count."""
    fitted = record.probabilities_calibrated
    shown = fitted or record.probabilities
    most = max(shown)
    if fitted:
        yield f"Probabilities, calibrated at temperature {record.temperature:.2f}, then as the model gave them"
    else:
        yield "Probabilities as the model gave them: its run has no validation weeks to calibrate on"
    for place in range(len(LABELS) - 1, -1, -1):
        bar = "█" * round(_BAR * shown[place] / most) if most else ""
        plain = f"  {_percent(record.probabilities[place])}" if fitted else ""
        yield f"  {LABELS[place]:<20} {_percent(shown[place])}{plain}  {bar}".rstrip()
    yield f"  {'any rise':<20} {_percent(_rise(shown))}"


def _rise(chances: Sequence[float]) -> float:
    return sum(chances[LABELS.index("up by 0-1%") :])


def _percent(share: float) -> str:
    return f"{share * 100:5.1f} %"


def _paragraph(title: str, text: str) -> Iterator[str]:
    yield title
    yield from _indented(text)


def _indented(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from wrap(line, WIDTH, initial_indent="  ", subsequent_indent="  ") or [""]
