"""Answers from another system: read, matched to the published test rows, scored, written as scores.json."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from fingpt import log
from fingpt.errors import DataError, MissingInputError
from fingpt.eval.forecast import SECTIONS
from fingpt.eval.metric_modules import MetricModules
from fingpt.eval.score import Pair, ParsedPair, score_robust, score_strict, summarise
from fingpt.parquet import open_parquet, read_columns
from fingpt.prompts.examples import parse_label
from fingpt.runs.manifest import ParserScores

_ANSWER_COLUMNS = ("symbol", "period", "prediction")
_TEST_COLUMNS = ("symbol", "period", "answer", "label")
_KINDS = ("rouge1", "rouge2", "rougeL")

Key = tuple[str, str]


def read_pairs(answers: Path, test: Path) -> list[Pair]:
    """One Pair per row of `test`, in its order.

    Every test row needs exactly one answer and every answer a test row. Raises MissingInputError for a missing file
    and DataError for an unreadable one, a missing column, a missing value, an empty file, a duplicate or an unmatched
    row, and a label outside the grammar. A missing prediction (null) is an empty answer, which no parser reads.
    """
    rows = _read(test, _TEST_COLUMNS)
    given = _read(answers, _ANSWER_COLUMNS)
    truth = _by_key(rows, test)
    found = _by_key(given, answers)
    _refuse_unmatched(set(truth) - set(found), test, f"no answer in {answers}")
    _refuse_unmatched(set(found) - set(truth), answers, f"no row in {test}")
    pairs = []
    for (symbol, period), row in truth.items():
        try:
            parse_label(row["label"] or "")
        except DataError as fault:
            raise DataError(f"{test}, row {symbol} {period}: {fault}") from None
        prediction = found[symbol, period]["prediction"] or ""
        pairs.append(Pair(prediction, row["answer"] or "", row["label"] or ""))
    return pairs


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
        name: _plain(summarise(pairs=parsed, metrics=metrics)) for name, parsed in scored.items()
    }


def write_scores(scores: dict[str, dict[str, Any]], folder: Path) -> Path:
    """Write `folder`/scores.json aside and rename it, replacing an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scores.json"
    aside = folder / f".scores.json.{os.getpid()}"
    try:
        aside.write_text(json.dumps(scores, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _plain(scores: ParserScores) -> dict[str, Any]:
    """The same keys whether or not anything parsed: a mean over no pairs is null."""
    empty: dict[str, float | None] = dict.fromkeys(_KINDS)
    plain: dict[str, Any] = scores.model_dump(mode="json")
    plain["rouge"] = {section: plain["rouge"].get(section, empty) for section in SECTIONS}
    return plain


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, str | None]]:
    if not path.is_file():
        raise MissingInputError(
            f"{path} does not exist; name a Parquet file with columns {', '.join(columns)}."
        )
    try:
        with open_parquet(path, columns) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise DataError(
                    f"{path} has no column '{missing[0]}'; it needs {', '.join(columns)} "
                    f"and has {', '.join(file.schema_arrow.names)[:200]}."
                )
            found = read_columns(file, str(path), columns)
            texts = [map(_text, found[name]) for name in columns]
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*texts, strict=True)]
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as fault:
        raise DataError(
            f"{path} cannot be read as Parquet with text columns: {str(fault).splitlines()[0][:200]}."
        ) from None
    if not rows:
        raise DataError(f"{path} holds no rows; there is nothing to score.")
    return rows


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | dict | tuple):
        raise pa.ArrowInvalid(f"a {type(value).__name__} where text is expected")
    return str(value)


def _by_key(rows: Sequence[dict[str, str | None]], path: Path) -> dict[Key, dict[str, str | None]]:
    keys = []
    for number, row in enumerate(rows, start=1):
        symbol, period = row["symbol"], row["period"]
        if symbol is None or period is None:
            raise DataError(f"{path}, row {number}, has no symbol or no period.")
        keys.append((symbol.strip(), period.strip()))
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} holds {len(twice)} of its rows more than once, first {' '.join(twice[0])}; keep one of each."
        )
    return dict(zip(keys, rows, strict=True))


def _refuse_unmatched(keys: set[Key], path: Path, what: str) -> None:
    if keys:
        first = " ".join(min(keys))
        raise DataError(
            f"{len(keys)} rows of {path} have {what}, first {first}; rows are matched by symbol and period."
        )
