"""Invented rows in the published schema, and the examples they become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.prep.importer import Imported, import_rows, normalize
from fingpt.prompts.examples import Example
from fingpt.rows.raw_rows import COLUMNS, RawRow
from fingpt.rows.readers import read_file

SUNDAY = date(2031, 3, 2)
SYSTEM = "You are a seasoned stock market analyst.\n\n[Prediction & Analysis]\nPrediction: ...\n"


def week(number: int) -> tuple[date, date]:
    """Start and end of the invented week `number`."""
    start = SUNDAY + timedelta(weeks=number)
    return start, start + timedelta(weeks=1)


def published_row(
    symbol: str = "NWS",
    number: int = 4,
    label: str = "up by 2-3%",
    *,
    news: str = "[Headline]: Orders grew\n[Summary]: By 12%.",
    prices: Sequence[float] = (100.0, 102.5),
    cap: float | None = None,
    asset: str = "stock",
    reported: str = "2030-12-31",
    answer: str | None = None,
) -> dict[str, object]:
    """A row whose prompt shows the weeks before `number`, between consecutive `prices`.

    Without `cap`, market capitalisation moves from week to week, as an honest one does.
    """
    start, end = week(number)
    cap = 5000.0 + number if cap is None else cap
    heads = []
    for place in range(len(prices) - 1):
        a, b = week(number - len(prices) + 1 + place)
        way = "increased" if prices[place + 1] > prices[place] else "decreased"
        heads.append(
            f"From {a} to {b}, {symbol}'s stock price {way} from {prices[place]:.2f} to {prices[place + 1]:.2f}. "
            f"News during this period are listed below:\n\n{news}"
        )
    user = (
        f"[Company Introduction]:\n\nNorthwind has a market capitalization of {cap} in USD, with 50.0 shares "
        f"outstanding.\n\n{chr(10).join(heads)}\n\nSome recent basic financials of {symbol}, reported at {reported}, "
        f"are presented below:\n\n[Basic Financials]:\n\neps: 2.1\n\nBased on all the information before {start}, "
        f"make your prediction of the {symbol} {asset} price movement for next week ({start} to {end})."
    )
    told = answer or (
        "[Positive Developments]:\n1. Orders.\n\n[Potential Concerns]:\n1. Margins.\n\n"
        f"[Prediction & Analysis]:\nPrediction: {label.capitalize()}\nAnalysis: Demand."
    )
    return {
        "prompt": f"[INST]<<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{user}[/INST]",
        "answer": told,
        "period": f"{start} to {end}",
        "label": label,
        "symbol": symbol,
    }


@pytest.fixture
def row() -> Callable[..., dict[str, object]]:
    """Factory of invented rows."""
    return published_row


@pytest.fixture
def example() -> Callable[..., Example]:
    """Factory of invented examples."""

    def make(*args: object, **changes: object) -> Example:
        found = normalize(RawRow("train", "x.jsonl", 1, published_row(*args, **changes)))  # type: ignore[arg-type]
        assert isinstance(found, Example)
        return found

    return make


@pytest.fixture
def write_parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as text columns to a parquet file and return its path."""

    def write(rows: Sequence[dict[str, object]], name: str = "train.parquet") -> Path:
        columns = COLUMNS if not rows else tuple(rows[0])
        table = pa.table({c: pa.array([r.get(c) for r in rows], pa.string()) for c in columns})
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        return path

    return write


@pytest.fixture
def drop() -> Callable[[dict[str, object], str], dict[str, object]]:
    """A row without one of its columns."""
    return lambda values, name: {key: value for key, value in values.items() if key != name}


@pytest.fixture(scope="session")
def real(real_data: Path) -> Imported:
    """The published rows, imported."""

    def rows() -> Iterator[object]:
        for split in ("train", "test"):
            yield from read_file(real_data / f"{split}.parquet", split)

    return import_rows(rows(), 0.0)  # type: ignore[arg-type]
