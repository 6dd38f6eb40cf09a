"""The parser `strict`: reads an answer as the published forecaster does, quirks included, to reproduce its numbers.

Kept on purpose: headers must be exact, in order and start the text; the last of repeated headers wins; `up` counts
inside other words (`supported`, `upcoming`); only single digits are understood; "Up by 5+%" has size 0. Same results
as the published patterns, in linear time: their greedy groups are found from the right.
"""

from __future__ import annotations

import math
import re

from fingpt.eval.forecast import Forecast, ParseFailure, ParseResult

_PROS = "[Positive Developments]:"
_CONS = "[Potential Concerns]:"
_PREDICTION_HEADERS = ("[Prediction & Analysis]:", "[Prediction and Analysis]:")
_PREDICTION = "Prediction:"
_ANALYSIS = "Analysis:"
_UP = ("up", "increase")
_DOWN = ("down", "decrease", "decline")
_RANGE = re.compile(r"(\d)-\d%")


def strict(text: str) -> ParseResult:
    """Parse one answer as the published code does. Never raises; sections keep their trailing blanks."""
    text = text.lstrip()
    if not text.startswith(_PROS):
        return ParseFailure("does not start with the positive developments")
    at, header = max((text.rfind(header), header) for header in _PREDICTION_HEADERS)
    if at < 0:
        return ParseFailure("no prediction section")
    cons_at = text.rfind(_CONS, len(_PROS), at)
    if cons_at < 0:
        return ParseFailure("no potential concerns")
    tail = text[at + len(header) :].lstrip()
    if not tail.startswith(_PREDICTION):
        return ParseFailure("no prediction line")
    analysis_at = tail.rfind(_ANALYSIS, len(_PREDICTION))
    if analysis_at < 0:
        return ParseFailure("no analysis")
    prediction = tail[len(_PREDICTION) : analysis_at]
    direction = _direction(prediction)
    margin = _margin(prediction, direction)
    return Forecast(
        pros=text[len(_PROS) : cons_at].lstrip(),
        cons=text[cons_at + len(_CONS) : at].lstrip(),
        analysis=tail[analysis_at + len(_ANALYSIS) :].lstrip(),
        direction=direction,
        margin=margin,
        bin=math.ceil(abs(margin)),
    )


def _direction(prediction: str) -> int:
    lowered = prediction.lower()
    if any(word in lowered for word in _UP):
        return 1
    return -1 if any(word in lowered for word in _DOWN) else 0


def _margin(prediction: str, direction: int) -> float:
    """Direction times the first `digit-digit%`, else the first digit straight before a `%`, plus a half; else 0."""
    match = _RANGE.search(prediction)
    if match is not None:
        return direction * (int(match[1]) + 0.5)
    at = prediction.find("%")
    while at >= 0:
        if at > 0 and prediction[at - 1].isdecimal():
            return direction * (int(prediction[at - 1]) + 0.5)
        at = prediction.find("%", at + 1)
    return 0.0
