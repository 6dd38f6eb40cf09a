"""One answer of each live source as it should be, and how it is read: what tests/test_fuzz.py mutates."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from fingpt.sources.live.catalogue import open_live
from fingpt.sources.month import Month
from fingpt.sources.protocol import Answer
from fingpt.sources.records import Kind
from tests.sources.live import test_edgar, test_finnhub, test_macro, test_signals, test_tiingo
from tests.sources.live.test_catalogue import LEAST

JULY, OCTOBER, NOVEMBER = (Month(2026, number) for number in (7, 10, 11))
DAY = date(2026, 11, 6)
FIGURES = {
    "status": "REQUEST_SUCCEEDED",
    "Results": {
        "series": [
            {
                "seriesID": "CUUR0000SA0",
                "data": [{"year": "2026", "period": "M10", "value": "310.5"}],
            }
        ]
    },
}
TABLE = {
    "currency": "USD",
    "rows": [
        {
            "day": "2026-11-05",
            "open": 1,
            "high": 2,
            "low": 1,
            "close": 2,
            "volume": 9,
            "dividend": 0,
            "split": 0,
        },
        {
            "day": "2026-11-06",
            "open": 1,
            "high": 2,
            "low": 1,
            "close": 2,
            "volume": None,
            "dividend": 1,
            "split": 4,
        },
    ],
}
PAGE = {"count": 4, "offset": 0, "limit": 9, "observations": test_macro.VINTAGES}
ITEM = {
    "datetime": test_finnhub.seconds(DAY),
    "headline": "a",
    "summary": "b",
    "url": "",
    "source": "c",
}
SIGNALS = {**test_signals.JSON_SETTINGS, "address": "https://a.example"}


def reader(
    name: str, kind: Kind, month: Month, **settings: object
) -> Callable[[bytes, Path], object]:
    """Reads a body as the answer of source `name` about one month."""
    source = open_live(name, {**LEAST.get(name, {}), **settings})
    now = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)

    def read(data: bytes, _: Path) -> object:
        return list(source.read(Answer(name, kind, "IVW", month, "/?series_id=X", now, data)))

    return read


def sequence(*texts: object) -> bytes:
    """JSON texts as EDGAR's answers hold them."""
    return b"".join(b"\x1e" + json.dumps(text).encode() + b"\n" for text in texts)


def plain(value: object) -> bytes:
    return json.dumps(value).encode()


def edgar(kind: Kind, *, figures: bool) -> Callable[[bytes, Path], object]:
    """Reads one of EDGAR's documents, beside the other one as it should be."""
    read = reader("edgar", kind, JULY)

    def read_beside(data: bytes, folder: Path) -> object:
        company, facts = plain(test_edgar.company()), plain(test_edgar.facts())
        texts = (company, data) if figures else (data, facts)
        return read(b"".join(b"\x1e" + text + b"\n" for text in texts), folder)

    return read_beside


BODIES = {
    "finnhub news": (plain([ITEM]), plain, reader("finnhub", Kind.NEWS, NOVEMBER)),
    "finnhub profile": (
        plain({**test_finnhub.PROFILE, "ticker": "IVW"}),
        plain,
        reader("finnhub", Kind.PROFILE, NOVEMBER),
    ),
    "tiingo": (plain([test_tiingo.row(DAY, 1)]), plain, reader("tiingo", Kind.PRICE, NOVEMBER)),
    "bls": (plain(FIGURES), plain, reader("bls", Kind.MACRO, OCTOBER)),
    "treasury": (test_macro.feed(DAY).data, None, reader("treasury", Kind.MACRO, NOVEMBER)),
    "alfred": (plain(PAGE), plain, reader("alfred", Kind.MACRO, NOVEMBER)),
    "signals json": (
        plain({"data": {"items": [test_signals.ROW]}}),
        plain,
        reader("signals", Kind.SIGNAL, NOVEMBER, **SIGNALS),
    ),
    "signals csv": (
        b"on,score\n2026-11-06,1\n",
        None,
        reader("signals", Kind.SIGNAL, NOVEMBER, **{**SIGNALS, "format": "csv"}),
    ),
    "yahoo": (plain(TABLE), plain, reader("yahoo", Kind.ACTION, NOVEMBER)),
    "edgar filings": (plain(test_edgar.company()), plain, edgar(Kind.NEWS, figures=False)),
    "edgar profile": (plain(test_edgar.company()), plain, edgar(Kind.PROFILE, figures=False)),
    "edgar figures": (plain(test_edgar.facts()), plain, edgar(Kind.FUNDAMENTALS, figures=True)),
}
"""Name -> a good body, how its value is written (None: bytes are mutated), how it is read."""
