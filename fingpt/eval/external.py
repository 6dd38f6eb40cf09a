"""Answers from another system: read, matched to the published test rows, scored, written as scores.json."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingpt import log
from fingpt.config import local_path
from fingpt.errors import DataError, MissingInputError
from fingpt.eval.forecast import SECTIONS, Forecast
from fingpt.eval.metric_modules import MetricModules
from fingpt.eval.robust import robust
from fingpt.eval.score import Pair, ParsedPair, score_robust, score_strict, summarise
from fingpt.parquet import MAX_TABLE_BYTES
from fingpt.prompts.examples import plain_label, plain_period
from fingpt.rows.layout import kind_of, split_of
from fingpt.rows.raw_rows import RawRow, Reject
from fingpt.rows.readers import read_file
from fingpt.runs.freeze import gather, mirrored
from fingpt.runs.manifest import ParserScores
from fingpt.runs.raw import fetch_raw
from fingpt.storage import ObjectStore
from fingpt.storage.files import translate_os_errors

_ANSWER_COLUMNS = ("symbol", "period", "prediction")
_TEST_COLUMNS = ("symbol", "period", "answer", "label")
_KINDS = ("rouge1", "rouge2", "rougeL")

Key = tuple[str, str]
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Matched:
    """A test row with its answer; `values` are the row's own columns, with `prompt` where the source has prompts."""

    values: Row
    pair: Pair


def read_pairs(answers: Path, source: str, store: ObjectStore, scratch: Path) -> list[Pair]:
    """The pairs of `read_matched`."""
    return [one.pair for one in read_matched(answers, source, store, scratch)]


def read_matched(answers: Path, source: str, store: ObjectStore, scratch: Path) -> list[Matched]:
    """One match per test row of `source`, which may be anything that a run's DATA may be, in its order.

    Every test row needs exactly one answer and every answer a test row. Raises MissingInputError for a missing file
    and DataError for an unreadable one, a missing column, a missing value, an empty file, a duplicate or an unmatched
    row, and a label outside the grammar. A missing prediction (null) is an empty answer, which no parser reads.
    """
    if not source.startswith(("hub:", "raw/", "s3://")):
        local_path(source)  # an address is no path, whatever the answers are
    _require_file(answers)
    rows = _test_rows(source, store, scratch, answers)
    given = _read(answers, str(answers), _ANSWER_COLUMNS)
    truth = _by_key(rows, f"The test rows of {source}")
    found = _by_key(given, f"{answers}")
    _refuse_unmatched(
        set(truth) - set(found), f"the test rows of {source}", f"no answer in {answers}"
    )
    _refuse_unmatched(set(found) - set(truth), f"{answers}", f"no test row in {source}")
    matched = []
    for (symbol, period), row in truth.items():
        try:
            label = plain_label(row["label"] or "")
        except DataError as fault:
            raise DataError(f"Test row {symbol} {period} of {source}: {fault}") from None
        prediction = found[symbol, period]["prediction"] or ""
        values = {**row, "symbol": symbol, "period": period, "label": label}
        matched.append(Matched(values, Pair(prediction, row["answer"] or "", label)))
    return matched


def forecasts(pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    """Direction and size (percentage points) of each answer under `robust`, NaN where it states none."""
    read = [robust(pair.prediction) for pair in pairs]
    nan = float("nan")
    directions = [float(one.direction) if isinstance(one, Forecast) else nan for one in read]
    sizes = [
        nan if not isinstance(one, Forecast) or one.margin is None else one.margin for one in read
    ]
    return directions, sizes


def _test_rows(source: str, store: ObjectStore, scratch: Path, answers: Path) -> list[Row]:
    """The rows of the test split; of all files where no name speaks of a split."""
    if source.startswith(("hub:", "raw/")):
        raw = mirrored(store, source) if source.startswith("hub:") else source
        paths = fetch_raw(store, raw, scratch / "source")
        files = [(path.name, path.name, path) for path in paths]
        named = True
    else:
        gathered = gather(source, scratch, beside=answers)
        named = gathered.layout.named
        names = (name for _, name in gathered.layout.frozen_names())
        files = [(f, n, path) for n, (f, path) in zip(names, gathered.files, strict=True)]
    if len(files) == 1 and kind_of(source):
        named = False  # the file itself was given
    wanted = [
        (name, path) for frozen, name, path in files if not named or split_of(frozen) == "test"
    ]
    if not wanted:
        seen = ", ".join(name for _, name, _ in files)
        raise MissingInputError(
            f"{source} holds no test rows, only {seen}; name a folder with test.parquet, or the file of the test rows."
        )
    try:
        return [r for name, path in wanted for r in _read(path, name, (*_TEST_COLUMNS, "prompt"))]
    except (
        DataError
    ):  # rows without prompts can be scored all the same; any other fault is met again
        return [row for name, path in wanted for row in _read(path, name, _TEST_COLUMNS)]


def score_pairs(pairs: Sequence[Pair], scratch: Path) -> dict[str, dict[str, Any]]:
    """Scores by parser: `strict`, `strict_without_reasoning` (text after the last `</think>`), and `robust`."""
    metrics = MetricModules(scratch / "evaluate")
    scored: dict[str, list[ParsedPair]] = {
        "strict": score_strict(pairs=pairs, metrics=metrics),
        "strict_without_reasoning": score_strict(
            pairs=pairs, metrics=metrics, without_reasoning=True
        ),
        "robust": score_robust(pairs=pairs, metrics=metrics),
    }
    if metrics.shortened:
        log.warning(metrics.shortened_sentence())
    return {
        name: _scores_dict(summarise(pairs=parsed, metrics=metrics))
        for name, parsed in scored.items()
    }


def write_scores(scores: Mapping[str, Any], folder: Path, name: str = "scores.json") -> Path:
    """Write `folder`/`name` aside and rename it, replacing an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    aside = folder / f".{name}.{os.getpid()}"
    try:
        aside.write_text(json.dumps(scores, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _scores_dict(scores: ParserScores) -> dict[str, Any]:
    """The same keys whether or not anything parsed: a mean over no pairs is null."""
    empty: dict[str, float | None] = dict.fromkeys(_KINDS)
    plain: dict[str, Any] = scores.model_dump(mode="json")
    plain["rouge"] = {section: plain["rouge"].get(section, empty) for section in SECTIONS}
    return plain


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise MissingInputError(f"{path} is a folder; name one file of answers in it.")
    if not path.is_file():
        raise MissingInputError(
            f"{path} does not exist; name a file with columns {', '.join(_ANSWER_COLUMNS)}."
        )


def _read(path: Path, name: str, columns: tuple[str, ...]) -> list[Row]:
    rows: list[Row] = []
    size = 0
    with translate_os_errors(path):
        for row in read_file(path, "", columns, name):
            if isinstance(row, Reject):
                raise DataError(f"{name} line {row.line} cannot be read: {row.detail}.")
            rows.append({column: _text(row, column) for column in columns})
            size += sum(len(text) for text in rows[-1].values() if text)
            if size > MAX_TABLE_BYTES:
                raise DataError(
                    f"{name} holds more than {MAX_TABLE_BYTES >> 20} MiB of text at line {row.line}; split it."
                )
    if not rows:
        raise DataError(f"{name} holds no rows; there is nothing to score.")
    return rows


def _text(row: RawRow, column: str) -> str | None:
    if column not in row.values:
        raise DataError(f"{row.file} line {row.line} has no '{column}'.")
    value = row.values[column]
    if value is None or isinstance(value, str):
        return value
    kind = "is not UTF-8" if isinstance(value, bytes) else f"is {type(value).__name__}, not text"
    raise DataError(f"{row.file} line {row.line}: '{column}' {kind}.")


def _by_key(rows: Sequence[Row], where: str) -> dict[Key, Row]:
    keys = []
    for number, row in enumerate(rows, start=1):
        symbol, period = row["symbol"], row["period"]
        if symbol is None or period is None:
            raise DataError(f"{where}, row {number}: there is no symbol or no period.")
        keys.append((symbol.strip(), _plain(period)))
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataError(
            f"{where}: {len(twice)} rows stand there more than once, first {' '.join(twice[0])}; keep one of each."
        )
    return dict(zip(keys, rows, strict=True))


def _plain(period: str) -> str:
    """The period as published rows spell it; one that is none stays, and then matches itself alone."""
    try:
        return plain_period(period)
    except DataError:
        return period.strip()


def _refuse_unmatched(keys: set[Key], where: str, what: str) -> None:
    if keys:
        first = " ".join(min(keys))
        raise DataError(
            f"{len(keys)} rows of {where} have {what}, first {first}; rows are matched by symbol and period."
        )
