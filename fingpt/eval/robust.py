"""The parser `robust`: this project's own, tolerant of form; the one to trust. Text → Forecast or ParseFailure.

Grammar: [reasoning] preamble? positive developments, potential concerns, prediction & analysis. Headers start a line,
in any case, with or without brackets, `#`, `**`, colon, `&`, `and` or `&amp;`. The first complete answer wins; text of
another answer after it sets the flag `run_on`. Direction and size are read from the line after `Prediction:` only.
Linear in time: one pass over the headers, every bounded pattern looks at each section once. Never raises. It does not
score, and knows no model: a reasoning block is recognised by its tags alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fingpt.eval.forecast import SECTIONS, Forecast, ParseFailure, ParseResult, strip_reasoning
from fingpt.eval.prediction import read_move

_NAMES = (
    r"(?:(?P<pros>positive[ \t]{1,3}developments?)|(?P<cons>potential[ \t]{1,3}concerns?)"
    r"|(?P<prediction>prediction[ \t]{0,3}(?:&amp;|&|and)[ \t]{0,3}analysis))"
)
_HEADER = re.compile(
    rf"^(?P<open>[ \t>#*_\[(]{{0,16}}){_NAMES}"
    r"(?P<close>[ \t*_\])#]{0,8})(?P<colon>[:：]?)[ \t*_\])]{0,8}(?P<end>$)?",
    re.IGNORECASE | re.MULTILINE,
)
_GLUED = re.compile(r"\[positive[ \t]{1,3}developments?\]:", re.IGNORECASE)
_LABEL = r"[ \t*_]{0,4}[:：][ \t*_]{0,4}"
_PREDICTION = re.compile(
    rf"^[ \t>#*_\-]{{0,8}}prediction{_LABEL}(?P<line>[^\n]*)", re.IGNORECASE | re.MULTILINE
)
_ANALYSIS = re.compile(rf"^[ \t>#*_\-]{{0,8}}analysis{_LABEL}", re.IGNORECASE | re.MULTILINE)
_ANALYSIS_INLINE = re.compile(rf"[*_]{{0,4}}\banalysis{_LABEL}", re.IGNORECASE)
_MARKS = " \t*_"


@dataclass(frozen=True, slots=True)
class _Header:
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Answer:
    pros: str
    cons: str
    block: str
    run_on: bool


def robust(text: str) -> ParseResult:
    """Parse one answer; total: every string gives a Forecast or a ParseFailure with its reason."""
    text, flags = _clean(text)
    if not text.strip():
        return ParseFailure("empty answer", tuple(sorted(flags)))
    headers = list(_headers(text))
    first_reason: str | None = None
    for answer in _answers(text, headers):
        result = _read_block(answer, flags)
        if isinstance(result, Forecast):
            return result
        first_reason = first_reason or result.reason
        flags.add("earlier_incomplete")
    reason = first_reason or _missing(headers)
    return ParseFailure(reason, tuple(sorted(flags - {"earlier_incomplete"})))


def reference_sections(text: str) -> dict[str, str] | None:
    """Text of each of `SECTIONS` of a reference answer, its prediction line missing or not; None without sections."""
    parsed = robust(text)
    if isinstance(parsed, Forecast):
        return {name: parsed.section(name) for name in SECTIONS}
    text, _ = _clean(text)
    for answer in _answers(text, list(_headers(text))):
        return {
            "pros": answer.pros,
            "cons": answer.cons,
            "analysis": _ANALYSIS.sub("", answer.block, count=1).strip(),
        }
    return None


def _clean(text: str) -> tuple[str, set[str]]:
    """Without reasoning, NUL, byte order mark and carriage returns; with the flags that this gives."""
    flags = set()
    if "\0" in text:
        flags.add("nul")
        text = text.replace("\0", "")
    text, unclosed = strip_reasoning(text)
    if unclosed:
        flags.add("think_unclosed")
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), flags


def _headers(text: str) -> Iterator[_Header]:
    """Headers in order of place; a bracketed `[Positive Developments]:` counts inside a line too, as kind `glued`."""
    glued = _GLUED.finditer(text)
    pending = next(glued, None)
    for match in _HEADER.finditer(text):
        if not _is_header(match):
            continue
        while pending is not None and pending.start() < match.start():
            yield _Header("glued", pending.start(), pending.end())
            pending = next(glued, None)
        while pending is not None and pending.start() < match.end():
            pending = next(glued, None)
        yield _Header(_kind(match), match.start(), match.end())
    while pending is not None:
        yield _Header("glued", pending.start(), pending.end())
        pending = next(glued, None)


def _kind(match: re.Match[str]) -> str:
    return next(kind for kind in ("pros", "cons", "prediction") if match[kind] is not None)


def _is_header(match: re.Match[str]) -> bool:
    """Prose such as "Potential concerns about debt" is none: a header has brackets, marks, a colon or its own line."""
    opening, closing = match["open"], match["close"]
    marked = any(mark in opening for mark in ("[", "#", "**", "__")) or any(
        mark in closing for mark in ("]", "**")
    )
    return marked or bool(match["colon"]) or match["end"] is not None


def _answers(text: str, headers: list[_Header]) -> Iterator[_Answer]:
    """Every run of the three headers in order, each with the text up to the next header of any kind."""
    pros: _Header | None = None
    cons: _Header | None = None
    for index, header in enumerate(headers):
        if header.kind == "pros" or (header.kind == "glued" and pros is None):
            pros, cons = header, None
        elif header.kind == "cons" and pros is not None and cons is None:
            cons = header
        elif header.kind == "prediction":
            if pros is not None and cons is not None:
                following = headers[index + 1] if index + 1 < len(headers) else None
                yield _Answer(
                    pros=text[pros.end : cons.start].strip(),
                    cons=text[cons.end : header.start].strip(),
                    block=text[header.end : following.start if following else len(text)],
                    run_on=following is not None,
                )
            pros = cons = None


def _read_block(answer: _Answer, flags: set[str]) -> ParseResult:
    """Prediction line and analysis of one answer."""
    found = _PREDICTION.search(answer.block)
    if found is None:
        return ParseFailure("no prediction line")
    line, rest = found["line"], answer.block[found.end() :]
    inline = _ANALYSIS_INLINE.search(line)
    if inline is not None:
        line, rest = line[: inline.start()], line[inline.end() :] + rest
        analysis = rest
    else:
        analysis, note = _analysis(answer.block[: found.start()], rest)
        flags = flags | note
    if not line.strip(_MARKS):
        return ParseFailure("empty prediction")
    move = read_move(line)
    if move is None:
        return ParseFailure("no direction")
    every = flags | set(move.flags) | ({"run_on"} if answer.run_on else set())
    return Forecast(
        pros=answer.pros,
        cons=answer.cons,
        analysis=analysis.strip(),
        direction=move.direction,
        margin=move.margin,
        bin=move.bin,
        flags=tuple(sorted(every)),
    )


def _analysis(before: str, after: str) -> tuple[str, set[str]]:
    """Text after the label `Analysis:`; without the label all text that follows, with a flag."""
    for text in (after, before):
        label = _ANALYSIS.search(text)
        if label is not None:
            return text[label.end() :], set()
    return after, {"no_analysis_label" if after.strip() else "no_analysis"}


def _missing(headers: list[_Header]) -> str:
    kinds = {"pros" if header.kind == "glued" else header.kind for header in headers}
    for kind, name in (
        ("pros", "no positive developments"),
        ("cons", "no potential concerns"),
        ("prediction", "no prediction section"),
    ):
        if kind not in kinds:
            return name
    return "sections out of order"
