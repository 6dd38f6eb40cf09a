"""The importer: each raw row becomes an Example of its split, or a Reject with its reason.

The published prompt is one Llama-2 string. Its marks are taken apart by position (the first closing system mark, the
last closing instruction mark), so marks inside news text stay text. Nothing else of a published row is changed:
`prompt`, `answer`, `period`, `label` and `symbol` stay exportable byte for byte. The one repair, a prediction line that
the answer lacks, goes into the trained answer only and is noted. A spelling that leaves no doubt (upper-case labels,
CRLF, time stamps of midnight) is read as the published rows have it, and noted. A row whose answer disagrees with its
label is noted, not refused; leaks are `fingpt.prep.lint`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fingpt.errors import DataError
from fingpt.prep.spool import Spool
from fingpt.prompts.examples import LABELS, Example, plain_label, plain_period
from fingpt.rows.raw_rows import COLUMNS, HINDSIGHT, RawRow, Reason, Reject, quote

RESTORED = "prediction-line-restored"
DISAGREES = "label-disagrees-with-answer"
OUTSIDE_GRAMMAR = "prediction-line-outside-grammar"
RESPELLED = "spelling-normalized"

MAX_TEXT_BYTES = 1 << 30
"""Whoever trains on a data set holds its texts in memory: at most 1 GiB of them (about 100,000 published rows)."""

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


@dataclass(frozen=True)
class Imported:
    """Examples by the source's own splits in source order, and the rows that were refused."""

    rows: dict[str, list[Example]]
    rejects: tuple[Reject, ...]

    @property
    def read(self) -> int:
        """Number of rows that the source holds."""
        return sum(map(len, self.rows.values())) + len(self.rejects)

    @property
    def reasons(self) -> dict[str, int]:
        """Refused rows by reason, the most frequent first."""
        return dict(Counter(str(reject.reason) for reject in self.rejects).most_common())


def import_rows(
    stream: Iterable[RawRow | Reject], max_reject_rate: float, spool: Spool | None = None
) -> Imported:
    """Normalize every row of `stream`; an exact repetition within a split is refused, for ids must be unique.

    `spool` keeps the rows' texts; without one they are in memory.

    Raises DataError when the source holds no rows, when more than the share `max_reject_rate` is refused (with counts
    by reason and the first place), or when the rows exceed 1 GiB of text.
    """
    rows: dict[str, list[Example]] = {}
    rejects: list[Reject] = []
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    size = 0
    for row in stream:
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        found = normalize(row)
        if isinstance(found, Reject):
            rejects.append(found)
            continue
        file, line = seen.setdefault((row.split, found.id), (row.file, row.line))
        if (file, line) != (row.file, row.line):
            place = f"line {line}" if file == row.file else f"{file} line {line}"
            rejects.append(row.reject(Reason.DUPLICATE, f"the row repeats {place} exactly"))
            continue
        rows.setdefault(row.split, []).append(found if spool is None else spool.keep(found))
        size += 2 * (len(found.prompt) + len(found.answer))
        if size > MAX_TEXT_BYTES:
            raise DataError(
                f"The source holds more than {MAX_TEXT_BYTES >> 20} MiB of text at {row.file} line {row.line}; "
                "cut it into smaller sources."
            )
    imported = Imported(rows, tuple(rejects))
    _check(imported, max_reject_rate)
    return imported


def _check(imported: Imported, max_reject_rate: float) -> None:
    if not imported.read:
        raise DataError("The source holds no rows: every split is empty; check what was exported.")
    rate = len(imported.rejects) / imported.read
    if rate > max_reject_rate:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in imported.reasons.items())
        first = imported.rejects[0]
        raise DataError(
            f"{len(imported.rejects)} of {imported.read} rows cannot be read ({reasons}; first: {first.file} line "
            f"{first.line}: {first.detail}), but only {100 * max_reject_rate:g} % may be refused; fix the source, or "
            "raise prep.max_reject_rate."
        )


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
    given = {name: _text(row, name) for name in COLUMNS}
    values = _with_plain_line_ends(given)
    values["prompt"] = values["prompt"].strip()
    system, user = _take_apart(values["prompt"])
    try:
        values["label"] = plain_label(values["label"])
    except DataError:
        raise _Refused(
            Reason.LABEL,
            f"label {quote(values['label'])} is none of the twelve 'up|down by 0-1% … 4-5%|more than 5%'",
        ) from None
    try:
        values["period"] = plain_period(values["period"])
    except DataError as fault:
        raise _Refused(
            Reason.PERIOD,
            f"period {quote(values['period'])} is not 'YYYY-MM-DD to YYYY-MM-DD', the first date before the second: "
            f"{str(fault).rstrip('.')}",
        ) from None
    values["symbol"] = values["symbol"].strip()
    if not _SYMBOL.fullmatch(values["symbol"]):
        raise _Refused(
            Reason.SYMBOL, f"symbol {quote(values['symbol'])} is no ticker of 1 to 20 characters"
        )
    answer, notes = _complete(values["answer"], values["label"])
    if values != given:
        notes = (*notes, RESPELLED)
    if HINDSIGHT in row.values:
        notes = (*notes, HINDSIGHT)
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


def _with_plain_line_ends(values: dict[str, str]) -> dict[str, str]:
    """`values` with LF for CRLF where the whole prompt, marks included, has CRLF: then no text means it."""
    prompt = values["prompt"]
    if not 0 < prompt.count("\n") == prompt.count("\r\n"):
        return dict(values)
    return {name: value.replace("\r\n", "\n") for name, value in values.items()}


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
        if end < 0:
            raise _Refused(
                Reason.NO_MARKS, f"the prompt has no {_SYSTEM_END!r} after its system text"
            )
        if not prompt.endswith(closing) or len(prompt) - len(closing) < start:
            raise _Refused(
                Reason.NO_MARKS,
                f"the prompt does not end with '{closing}' but with {quote(prompt[-40:])}",
            )
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
