"""Prices as vendors export them: what they call our columns, and what in their files is not what it seems. Pure.

Nothing is mapped: a sentence says what to rename and what to rewrite. Which of two numbers is the day, and whether a
close is the traded one, only who exported it knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "symbol": (
        *("ticker", "<ticker>", "act symbol", "stock", "security", "related", "symbole"),
        *("symbols", "instrument", "ric"),
    ),
    "date": ("datum", "<date>", "timestamp", "time", "trade date", "day", "dates"),
    "open": (
        "<open>",
        "eröffnung",
        "erster",
        "opening price",
        "open price",
        "px_open",
        "ouverture",
    ),
    "high": ("<high>", "hoch", "tageshoch", "high price", "px_high", "plus haut"),
    "low": ("<low>", "tief", "tagestief", "low price", "px_low", "plus bas"),
    "close": (
        *("close/last", "price", "last", "<close>", "last price", "close price", "closing price"),
        *("schluss", "schlusskurs", "px_last", "clôture", "cloture"),
    ),
    "volume": ("<vol>", "vol.", "vol", "volumen", "stücke", "stuecke", "umsatz", "px_volume"),
    "currency": ("währung", "ccy", "crncy", "devise"),
    "published_at": (
        "datetime",
        "published",
        "published at",
        "publishedat",
        "published_utc",
        "pubdate",
    ),
    "headline": ("title", "titre"),
    "publisher": ("source",),
    "summary": ("description",),
}

_ADJUSTED = re.compile(r"adj(?:usted|\.)?[ _]?clos(?:e|ing(?: price)?)\**|close[ _]adj(?:usted)?")


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who writes files with all of `columns` (lower case), and what of them has to be known."""

    name: str
    columns: frozenset[str]
    note: str


_SPLITS = (
    "its prices are adjusted for later splits: multiply those before a split by its ratio, divide their volumes by it, "
    "and write the split into actions.csv"
)
_VENDORS = (
    Vendor(
        "Tiingo",
        frozenset({"adjclose", "divcash", "splitfactor"}),
        "its close is the traded one; divCash and splitFactor belong into actions.csv",
    ),
    Vendor(
        "Nasdaq",
        frozenset({"close/last"}),
        f"write its days (month/day/year) as YYYY-MM-DD and its prices without $; {_SPLITS}",
    ),
    Vendor(
        "investing.com",
        frozenset({"price", "vol."}),
        "write its days as YYYY-MM-DD (their order is the site's language's), prices without commas for thousands and "
        f"volumes such as 45.2M as 45200000; {_SPLITS}",
    ),
    Vendor(
        "Stooq",
        frozenset({"<ticker>", "<close>"}),
        "write its days (20250102) as YYYY-MM-DD and AAPL.US as AAPL; its prices are adjusted for splits and "
        "dividends unless the export was told not to",
    ),
    Vendor(
        "yfinance",
        frozenset({"dividends", "stock splits"}),
        "its closes are adjusted for dividends unless it was told auto_adjust=False, so export with that; its "
        f"dividends and splits belong into actions.csv; {_SPLITS}",
    ),
    Vendor("Yahoo", frozenset({"date", "close", "adj close"}), _SPLITS),
    Vendor("Yahoo", frozenset({"date", "close", "adj close**"}), _SPLITS),
    Vendor(
        "Bloomberg",
        frozenset({"px_last"}),
        "write AAPL US Equity as AAPL; its prices are adjusted for splits, and for dividends too where its settings "
        "(DPDF) say so: export them unadjusted",
    ),
    Vendor(
        "Finnhub",
        frozenset({"related", "datetime"}),
        "write its seconds since 1970 as moments such as 2026-11-20T21:05:00Z, and in pandas "
        "pd.to_datetime(news.datetime, unit='s', utc=True) does",
    ),
    Vendor(
        "a spreadsheet in German",
        frozenset({"datum"}),
        "write its days (02.01.2025) as YYYY-MM-DD and numbers as 1234.5, not 1.234,5",
    ),
)


def what_to_rename(seen: Sequence[str], wanted: Sequence[str], missing: Sequence[str]) -> str:
    """Sentences on columns that a file has under another name, where it has any; `missing` are among `wanted`.

    Empty for a file of which nothing is known.
    """
    plain = {column.strip().lower(): column.strip() for column in seen}
    if "close" in wanted and (shape := _shape(seen, plain)):
        return shape
    found = {
        column: plain[name]
        for column in wanted
        if column not in plain
        for name in _OTHER_NAMES.get(column, ())
        if name in plain
    }
    told = [f"'{name[:40]}' is called {column} here" for column, name in found.items()]
    sentences = [f"{_joined(told)}: rename {'it' if len(told) == 1 else 'them'}."] if told else []
    if "close" in missing and "close" not in found and (adjusted := _adjusted(plain)):
        sentences.append(
            f"'{adjusted}' is no close: it is adjusted for dividends and splits, and forecasts need the price that was "
            "traded: export that too."
        )
    if "symbol" in missing and "symbol" not in found:
        sentences.append("Add a column symbol that has the ticker in every line.")
    if vendor := _vendor(plain):
        sentences.append(f"This looks like an export of {vendor.name}: {vendor.note}.")
    return " ".join(sentences)


def what_to_check(seen: Sequence[str]) -> str:
    """What is doubtful in a file that has all that is wanted; empty where nothing is."""
    plain = {column.strip().lower(): column.strip() for column in seen}
    vendor = _vendor(plain)
    if vendor is None or vendor.name != "Yahoo":
        return ""
    return (
        f"has '{_adjusted(plain)}' beside its close, as exports of {vendor.name} do, and {vendor.note}, or leave them "
        "where none is"
    )


_OF_A_TICKER = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,9}(?: US Equity)?")
_FIGURES = frozenset("open high low close volume price last vol adj close".split())


def _shape(seen: Sequence[str], plain: dict[str, str]) -> str:
    """What a file of prices is that is no table of rows at all; empty where its columns say nothing of that."""
    first, *others = [each.strip() for each in seen] or [""]
    bare = [re.sub(r"\.\d+$", "", each.lower()) for each in others]
    if (
        first.lower() in ("price", "ticker")
        and "date" not in plain
        and {*bare} >= {"close", "open"}
    ):
        return (
            "This looks like an export of pandas with a header of several lines (Price, Ticker, Date), as yfinance's "
            "download gives; write it anew with one line, in pandas: "
            "pd.read_csv('prices.csv', header=[0, 1], index_col=0)"
            ".stack(level='Ticker', future_stack=True).rename_axis(['Date', 'symbol']).to_csv('prices.csv')."
        )
    dated = first.lower() in ("date", "datum", "dates", "day", "")
    if dated and others and all(_is_ticker(each) for each in others):
        return (
            f"This looks like one column for each symbol ({', '.join(others[:3])}): one row per symbol and day is "
            "expected, with the symbol in a column symbol, and open, high, low and close in columns of their own."
        )
    return ""


def _is_ticker(column: str) -> bool:
    known = {*_FIGURES, *_OTHER_NAMES}.union(*_OTHER_NAMES.values())
    return bool(_OF_A_TICKER.fullmatch(column)) and column.lower() not in known


def _adjusted(plain: dict[str, str]) -> str:
    return next((name for each, name in plain.items() if _ADJUSTED.fullmatch(each)), "")


def _vendor(plain: dict[str, str]) -> Vendor | None:
    return next((each for each in _VENDORS if each.columns <= plain.keys()), None)


def _joined(several: Sequence[str]) -> str:
    *first, last = several
    return f"{', '.join(first)} and {last}" if first else last
