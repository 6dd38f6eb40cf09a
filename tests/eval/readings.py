"""A person's readings of public answers, and how far a parser agrees with them.

`readings.jsonl` holds no text: for each answer its SHA-256, the model that wrote it, the part of the sample
(`develop`: looked at while the rules were written; `held out 1` to `3`: labelled before the parser had seen
them), and the label. Texts come from a folder of one's own: `train.parquet`, `test.parquet`, and whatever lies in
`generations/`.

How was read: the labelled prediction decides, the analysis only where there is no other statement. A lean counts
("stable with a slight upward bias" is up). Alternatives ("stable or slightly higher"), mixed movement and mere price
ranges have no direction: `undecided`. Where nothing is predicted (an echoed prompt, a text cut off) the reason is `no
prediction`. `margin` is the middle of the stated percentage, at most 5.5, null where none is stated; prices are no
percentages. Each part was labelled before the parser ran on it; two labels were corrected afterwards, where on
reading again a sentence had been overlooked. Rules were mended after each part, so only first runs are unseen: 102 of
110, 67 of 70 and 34 of 40, with one wrong direction, in the first part held out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from fingpt.eval.forecast import Forecast, ParseResult

COLUMNS = ("answer", "prediction", "generated")
OUTCOMES = ("agree", "wrong direction", "guessed", "unread", "other margin")


def readings() -> list[dict]:
    text = (Path(__file__).parent / "readings.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def texts(folder: Path) -> dict[str, str]:
    """Every answer under `folder` by its hash."""
    files = [
        folder / "train.parquet",
        folder / "test.parquet",
        *sorted(folder.glob("generations/*")),
    ]
    return {
        hashlib.sha256(text.encode()).hexdigest(): text
        for file in files
        if file.is_file()
        for text in _answers(file)
    }


def _answers(file: Path) -> Iterator[str]:
    read = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".json": pd.read_json,
        ".jsonl": lambda path: pd.read_json(path, lines=True),
    }.get(file.suffix)
    frame = pd.DataFrame() if read is None else read(file)
    for column in set(COLUMNS) & set(frame.columns):
        yield from (text for text in frame[column] if isinstance(text, str))


def outcome(parsed: ParseResult, reading: dict) -> str:
    """One of `OUTCOMES`; a failure agrees with an answer that a person found undecided or empty."""
    if not isinstance(parsed, Forecast):
        return "agree" if reading["direction"] is None else "unread"
    if reading["direction"] is None:
        return "guessed"
    if parsed.direction != reading["direction"]:
        return "wrong direction"
    if parsed.margin is None or reading["margin"] is None:
        return "agree" if parsed.margin is reading["margin"] else "other margin"
    return "agree" if math.isclose(parsed.margin, reading["margin"]) else "other margin"


def agreement(parser: Callable[[str], ParseResult], known: dict[str, str]) -> dict[str, Counter]:
    """Outcomes by model, over the readings whose text is known."""
    table: dict[str, Counter] = {}
    for reading in readings():
        if reading["sha256"] in known:
            result = outcome(parser(known[reading["sha256"]]), reading)
            table.setdefault(reading["model"], Counter())[result] += 1
    return table


def as_text(table: dict[str, Counter]) -> str:
    width = max(len(model) for model in table)
    rows = [f"{'model':{width}}  {'n':>4}  " + "  ".join(OUTCOMES)]
    for model, counts in {**table, "all": sum(table.values(), Counter())}.items():
        cells = "  ".join(f"{counts[name]:>{len(name)}}" for name in OUTCOMES)
        rows.append(f"{model:{width}}  {counts.total():>4}  {cells}")
    return "\n".join(rows)
