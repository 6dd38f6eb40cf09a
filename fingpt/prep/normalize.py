"""One raw row in, one Example or one Reject out. Pure: no I/O, and never an exception for bad data.

The published prompt is one Llama-2 string. Its marks are taken apart by position (the first closing system mark, the
last closing instruction mark), so marks that stand inside news text stay text. Nothing else of the row is changed:
`prompt`, `answer`, `period`, `label` and `symbol` stay exportable byte for byte. The one repair, a prediction line that
the answer lacks, goes into the trained answer only and is noted.

It does not judge: rows whose answer disagrees with their label are noted, not refused; leaks are fingpt.prep.lint's.
"""

from __future__ import annotations

import re

from fingpt.errors import DataError
from fingpt.prep.raw_rows import COLUMNS, RawRow, Reason, Reject, quote
from fingpt.prompts.examples import LABELS, Example, parse_period

RESTORED = "prediction-line-restored"
DISAGREES = "label-disagrees-with-answer"
OUTSIDE_GRAMMAR = "prediction-line-outside-grammar"

# The published layout has no blanks around the marks, the official one has; the opening decides which it is.
_LAYOUTS = (("[INST]<<SYS>>\n", "[/INST]"), ("[INST] <<SYS>>\n", " [/INST]"))
_SYSTEM_END = "\n<</SYS>>\n\n"
_SYMBOL = re.compile(r"[A-Za-z0-9.^=-]{1,20}")
_PREDICTION_LINE = re.compile(
    r"^[ \t*#_]*prediction[ \t*_]*:[ \t*_]*(.*)$", re.IGNORECASE | re.MULTILINE
)
_PREDICTION_HEADER = re.compile(
    r"^[ \t*#_]*\[?prediction[ \t]+(?:&|&amp;|and)[ \t]+analysis\]?[ \t*_]*+(?::|\r?$)[ \t*_]*+",
    re.IGNORECASE | re.MULTILINE,
)
_ANALYSIS = re.compile(r"analysis[ \t]*:", re.IGNORECASE)


class _Refused(Exception):
    """Carries the reason of a refusal up to `normalize`; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def normalize(row: RawRow) -> Example | Reject:
    """The Example that a raw row holds, or the Reject that says why it holds none."""
    try:
        return _example(row)
    except _Refused as refusal:
        return row.reject(refusal.reason, refusal.detail)


def _example(row: RawRow) -> Example:
    values = {name: _text(row, name) for name in COLUMNS}
    system, user = _take_apart(values["prompt"])
    if values["label"] not in LABELS:
        raise _Refused(
            Reason.LABEL,
            f"label {quote(values['label'])} is none of the twelve 'up|down by 0-1% … 4-5%|more than 5%'",
        )
    try:
        parse_period(values["period"])
    except DataError:
        well_formed = False
    else:
        well_formed = values["period"] == values["period"].strip()
    if not well_formed:
        raise _Refused(
            Reason.PERIOD,
            f"period {quote(values['period'])} is not 'YYYY-MM-DD to YYYY-MM-DD', the first date before the second",
        )
    if not _SYMBOL.fullmatch(values["symbol"]):
        raise _Refused(
            Reason.SYMBOL, f"symbol {quote(values['symbol'])} is no ticker of 1 to 20 characters"
        )
    answer, notes = _complete(values["answer"], values["label"])
    return Example(
        system=system,
        user=user,
        answer=answer,
        symbol=values["symbol"],
        period=values["period"],
        label=values["label"],
        prompt=values["prompt"],
        raw_answer=values["answer"],
        notes=notes,
    )


def _text(row: RawRow, name: str) -> str:
    if name not in row.values:
        seen = ", ".join(sorted(quote(str(column)) for column in row.values)[:12]) or "none"
        raise _Refused(Reason.MISSING_COLUMN, f"column '{name}' is missing (columns: {seen})")
    value = row.values[name]
    if name == "answer" and (value is None or (isinstance(value, str) and not value.strip())):
        raise _Refused(Reason.EMPTY_ANSWER, "the answer is empty")
    if isinstance(value, bytes):
        raise _Refused(Reason.NOT_UTF8, f"column '{name}' is not UTF-8")
    if not isinstance(value, str):
        raise _Refused(Reason.NOT_TEXT, f"column '{name}' holds {type(value).__name__}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused(Reason.NOT_UTF8, f"column '{name}' holds half a surrogate pair") from None
    return value


def _take_apart(prompt: str) -> tuple[str, str]:
    """System and user text between the Llama-2 marks."""
    if not prompt.strip():
        raise _Refused(Reason.EMPTY_PROMPT, "the prompt is empty")
    for opening, closing in _LAYOUTS:
        if not prompt.startswith(opening):
            continue
        end = prompt.find(_SYSTEM_END, len(opening))
        start = end + len(_SYSTEM_END)
        if end < 0 or not prompt.endswith(closing) or len(prompt) - len(closing) < start:
            break
        user = prompt[start : len(prompt) - len(closing)]
        if not user.strip():
            raise _Refused(Reason.EMPTY_PROMPT, "the prompt holds nothing after its system text")
        return prompt[len(opening) : end], user
    raise _Refused(
        Reason.NO_MARKS,
        f"the prompt is not '[INST]<<SYS>> … <</SYS>> … [/INST]'; it starts with {quote(prompt)}",
    )


def _complete(answer: str, label: str) -> tuple[str, tuple[str, ...]]:
    """The answer to train on, with its prediction line, and notes on what was done or seen."""
    line = _PREDICTION_LINE.search(answer)
    if line is not None:
        stated = line[1].strip(" \t\r*_").lower()
        if stated == label:
            return answer, ()
        return answer, (DISAGREES if stated in LABELS else OUTSIDE_GRAMMAR,)
    header = _PREDICTION_HEADER.search(answer)
    if header is None:
        raise _Refused(
            Reason.NO_PREDICTION, "the answer has neither a 'Prediction:' line nor its section"
        )
    analysis = answer[header.end() :].lstrip()
    if not _ANALYSIS.match(analysis):
        analysis = f"Analysis: {analysis}"
    restored = f"[Prediction & Analysis]:\nPrediction: {label.capitalize()}\n{analysis}"
    return answer[: header.start()] + restored, (RESTORED,)
