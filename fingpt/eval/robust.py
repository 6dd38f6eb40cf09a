"""The parser `robust`: this project's own, tolerant of form; the one to trust. Text → Forecast or ParseFailure.

A `Prediction` label opens the statement, on its line or below, with or without the three headers. Without a label the
section `Prediction & Analysis` is read, without a section a sentence such as "I predict that …". The first answer of a
text counts; text of another one after it sets the flag `run_on`. Linear in time: parts are found once, and of each at
most `READ_CHARACTERS` are read. Never raises. It does not score, and knows no model: a reasoning block is recognised by
its tags alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice, takewhile
from typing import Literal, get_args

from fingpt.eval.forecast import SECTIONS, Forecast, ParseFailure, ParseResult, strip_reasoning
from fingpt.eval.layout import ANALYSIS, HEADERS, LABEL, Answer, answers
from fingpt.eval.lexicon import PREDICTING
from fingpt.eval.statement import READ_CHARACTERS, Move, Undecided, read_statement

_Missing = Literal["empty answer", "no prediction", "empty prediction"]
_Reason = _Missing | Undecided
REASONS: tuple[str, ...] = (*get_args(_Missing), *get_args(Undecided))

_ANALYSIS_INLINE = re.compile(
    r"[*_]{0,4}(?:\banalysis|分析)[ \t*_]{0,4}[:：][ \t*_]{0,4}", re.IGNORECASE
)
_BULLET = re.compile(r"[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]")
_DETAIL = re.compile(
    r"[ \t]*[*_]{0,2}(?:expected |estimated |price |percentage )?"
    r"(?:magnitude|size|range|move|movement|change|percentage)\b[^\n:：]{0,20}[:：]",
    re.IGNORECASE,
)
_BLANK = re.compile(r"[\W_]*")  # also a placeholder: "..."
_SENTENCE = re.compile(r"[^\n.!?]{0,400}(?:[.!?](?=\S)[^\n.!?]{0,400}){0,8}")
_SENTENCE_ENDS = (". ", "\n", "! ", "? ")
_PARAGRAPHS = 3  # read below a label
_SHORT_LINE = 100  # characters of a prediction that stands alone under its header
_NEAR = 400  # characters of a sentence before "I predict"
_UNLABELLED = 20  # sentences read where an answer has no label and no section


@dataclass(frozen=True, slots=True)
class _Found:
    """A prediction, the index of the mark that states it (None: a sentence), and a flag."""

    index: int | None
    move: Move
    flag: str | None = None


def robust(text: str) -> ParseResult:
    """Parse one answer; total: every string gives a Forecast or a ParseFailure with one of `REASONS`."""
    text, flags = _clean(text)
    if not text.strip():
        return _failure("empty answer", flags)
    reason: _Reason = "no prediction"
    passed: set[str] = set()
    for answer in answers(text):
        found = _read(text, answer)
        if isinstance(found, _Found):
            return _forecast(text, answer, found, flags | passed)
        if found == "undecided direction":
            return _failure(found, flags)
        reason = _worse(reason, found)
        passed = {"earlier_incomplete"}
    if reason != "no direction":
        move = _unlabelled(text)
        if isinstance(move, Move):
            nowhere = Answer((), len(text), run_on=False)
            return _forecast(text, nowhere, _Found(None, move, "no_label"), flags)
        reason = _worse(reason, move)
    return _failure(reason, flags)


def reference_sections(text: str) -> dict[str, str] | None:
    """Text of each of `SECTIONS` of a reference answer, its prediction read or not; None without sections."""
    parsed = robust(text)
    if isinstance(parsed, Forecast):
        return {name: parsed.section(name) for name in SECTIONS}
    text, _ = _clean(text)
    for answer in answers(text):
        section = answer.first("section")
        if section is not None and None not in (answer.first("pros"), answer.first("cons")):
            block = text[answer.marks[section].end : answer.until(section, HEADERS)]
            return {
                "pros": _section(text, answer, "pros"),
                "cons": _section(text, answer, "cons"),
                "analysis": ANALYSIS.sub("", block, count=1).strip(),
            }
    return None


def _failure(reason: _Reason, flags: set[str]) -> ParseFailure:
    return ParseFailure(reason, tuple(sorted(flags)))


def _worse(known: _Reason, found: _Reason) -> _Reason:
    """Of two failures the one that got further."""
    return max(known, found, key=REASONS.index)


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


def _read(text: str, answer: Answer) -> _Found | _Reason:
    """What an answer predicts: by its labels, else by its sections."""
    reason: _Reason = "no prediction"
    for kind in ("label", "section"):
        for index, mark in enumerate(answer.marks):
            if mark.kind != kind:
                continue
            found = (
                _labelled(text, answer, index) if kind == "label" else _titled(text, answer, index)
            )
            if isinstance(found, Move):
                flag = "no_label" if kind == "section" else None
                return _Found(index, _with_size(text, answer, index, found), flag)
            if found == "undecided direction":
                return found
            reason = _worse(reason, found)
    return reason


def _body(text: str, answer: Answer, index: int) -> str:
    """The text of a mark, no longer than a statement may be."""
    start = answer.marks[index].end
    return text[start : min(answer.until(index), start + READ_CHARACTERS)]


def _labelled(text: str, answer: Answer, index: int) -> Move | _Reason:
    return _statement(_body(text, answer, index))


def _statement(body: str) -> Move | _Reason:
    """The line of a label with its bullets; where it gives no direction, the paragraphs below."""
    line, _, rest = body.partition("\n")
    inline = _ANALYSIS_INLINE.search(line)
    if inline is not None:
        line, rest = line[: inline.start()], ""
    lines = rest.split("\n")
    reason: _Reason = "empty prediction"
    details = takewhile(lambda each: _BULLET.match(each) or _DETAIL.match(each), lines)
    for piece in ("\n".join([line, *details]), *_paragraphs(lines)):
        if _BLANK.fullmatch(piece):
            continue
        found = read_statement(piece)
        if found != "no direction":
            return found
        reason = found
    return reason


def _paragraphs(lines: list[str]) -> Iterator[str]:
    groups = groupby(lines, key=lambda line: bool(line.strip()))
    return islice(("\n".join(group) for filled, group in groups if filled), _PARAGRAPHS)


def _titled(text: str, answer: Answer, index: int) -> Move | _Reason:
    """A section without a label of its own: its short first line, its forecasts, or what its analysis predicts."""
    body = _body(text, answer, index).lstrip()
    label = LABEL.match(body)
    if label is not None:
        return _statement(body[label.end() :])
    if _BLANK.fullmatch(body):
        return "empty prediction"
    line = body.partition("\n")[0]
    found = _statement(line) if len(line) <= _SHORT_LINE else "no direction"
    if not isinstance(found, Move):
        found = read_statement(body, prose=True)
    if found == "no direction":
        explicit = _unlabelled(text[answer.marks[index].end : answer.until(index, HEADERS)])
        found = explicit if explicit != "no prediction" else found
    return found


def _with_size(text: str, answer: Answer, index: int, move: Move) -> Move:
    """With the size of a later label of the same answer and direction, where this statement gives none."""
    if move.margin is not None or answer.marks[index].kind == "section":
        return move
    later = takewhile(
        lambda place: answer.marks[place].kind not in ("section", "other"),
        range(index + 1, len(answer.marks)),
    )
    for place in later:
        if answer.marks[place].kind == "label":
            found = _labelled(text, answer, place)
            if isinstance(found, Move) and found.direction == move.direction and found.margin:
                return found
    return move


def _unlabelled(text: str) -> Move | _Reason:
    """Sentences such as "I predict that …", where those that decide agree."""
    text = text.lower()
    moves: list[Move] = []
    for match in islice(PREDICTING.finditer(text), _UNLABELLED):
        near = max(0, match.start() - _NEAR)
        start = max(text.rfind(end, near, match.start()) + len(end) for end in _SENTENCE_ENDS)
        sentence = _SENTENCE.match(text, max(start, near))
        found = read_statement(sentence.group() if sentence is not None else "")
        if found == "undecided direction":
            return found
        if isinstance(found, Move):
            moves.append(found)
    if len({move.direction for move in moves}) > 1:
        return "undecided direction"
    sized = (move for move in moves if move.margin is not None)
    return next(sized, moves[0]) if moves else "no prediction"


def _forecast(text: str, answer: Answer, found: _Found, flags: set[str]) -> Forecast:
    analysis, note = _analysis(text, answer, found.index)
    flags = flags | set(found.move.flags) | note | ({found.flag} if found.flag else set())
    if None in (answer.first("pros"), answer.first("cons")):
        flags.add("no_sections")
    if answer.run_on or _followed(answer, found.index):
        flags.add("run_on")
    return Forecast(
        pros=_section(text, answer, "pros"),
        cons=_section(text, answer, "cons"),
        analysis=analysis.strip(),
        direction=found.move.direction,
        margin=found.move.margin,
        bin=found.move.bin,
        flags=tuple(sorted(flags)),
    )


def _section(text: str, answer: Answer, kind: str) -> str:
    """Text under a header; empty without it."""
    index = answer.first(kind)
    if index is None:
        return ""
    return text[answer.marks[index].end : answer.until(index, (*HEADERS, "label"))].strip()


def _opens_before(answer: Answer, index: int) -> bool:
    """Whether the sections stand before the prediction; some answers open with the prediction."""
    pros = answer.first("pros")
    return pros is not None and pros < index


def _followed(answer: Answer, index: int | None) -> bool:
    """Whether headers of another answer follow."""
    if index is None or not _opens_before(answer, index):
        return False
    return any(mark.kind in ("cons", "section") for mark in answer.marks[index + 1 :])


def _analysis(text: str, answer: Answer, index: int | None) -> tuple[str, set[str]]:
    """Text after the label `Analysis:`; without the label all text that follows, with a flag."""
    if index is None:
        return text, {"no_analysis_label"}
    mark = answer.marks[index]
    end = answer.until(index, HEADERS if _opens_before(answer, index) else ("section", "other"))
    if mark.kind == "section":
        return ANALYSIS.sub("", text[mark.end : end], count=1), set()
    line_end = text.find("\n", mark.end, end)
    line_end = end if line_end < 0 else line_end
    inline = _ANALYSIS_INLINE.search(text, mark.end, line_end)
    if inline is not None:
        return text[inline.end() : end], set()
    titles = [one.end for one in answer.marks[:index] if one.kind == "section"]
    after = text[line_end:end]
    for part in (after, text[titles[-1] : mark.start] if titles else ""):
        label = ANALYSIS.search(part)
        if label is not None:
            return part[label.end() :], set()
    return after, {"no_analysis_label" if after.strip() else "no_analysis"}
