"""An invented market over real sessions: prices with splits and dividends, news, filings, macro figures, one signal.

Pure functions of a seed, as records; `write_market` keeps them as a folder of files (docs/sources.md). Companies,
headlines and figures are invented, whatever the symbols are. In half of the weeks the news of one week lean the way
that the price goes in the next, so that something can be learned; nothing else tells what comes. The signal is noise.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path

from pydantic import JsonValue

from fingpt import log
from fingpt.record import sha256_bytes
from fingpt.sources.calendar import close_of, open_of, session_of, sessions
from fingpt.sources.records import Kind, Record
from fingpt.storage.files import translate_os_errors
from fingpt.synthetic.text import EVENTS, PLACES, SAMPLE_COMPANIES, Company

SOURCE = "invented"
EXAMPLE, EXAMPLE_SYMBOLS = Path("market"), ("ACME", "BOLT", "CRUX", "DELTA")
_TRADES = tuple((one.industry, one.thing) for one in SAMPLE_COMPANIES)
_WEEKLY_SD, _DAILY_SD, _MARKET_SD = 0.012, 0.011, 0.007
_LEAN = 0.024
"""Mean size of the weekly move that leaning news come before."""
_SPLIT_ABOVE, _SPLIT_RATE = 60.0, 1 / 300
_REPRINTED = 0.15
_ALWAYS = datetime(1980, 1, 1, tzinfo=UTC)
"""From when a profile is known that says nothing else, as files have it."""
_QUARTER_ENDS = ((3, 31), (6, 30), (9, 30), (12, 31))


@dataclass(frozen=True, slots=True)
class _World:
    """What all symbols share: the sessions, what week each is in, the market's move in each."""

    days: list[date]
    weeks: list[int]
    market: list[float]
    seed: int


def market_records(
    symbols: Sequence[str], start: date, end: date, seed: int = 1
) -> Iterator[Record]:
    """Records of every kind from `start` to the close at or before `end`: one symbol after the other, then macro."""
    days = sessions(start, end)
    rng = random.Random(f"{seed}/market")
    weeks = [(day.toordinal() - 6) // 7 for day in days]  # Saturday to Friday
    world = _World(days, weeks, [rng.gauss(0.0003, _MARKET_SD) for _ in days], seed)
    last = close_of(days[-1])
    for records in (*(_of_symbol(symbol, world) for symbol in symbols), _macro(world)):
        yield from (record for record in records if record.available_at <= last)


def write_market(
    folder: Path, symbols: Sequence[str], start: date, end: date, seed: int = 1
) -> None:
    """Write the market as CSV files into `folder`, which is made; files of another market there are replaced."""
    records = sorted(market_records(symbols, start, end, seed), key=lambda one: one.kind)
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for kind, group in groupby(records, key=lambda one: one.kind):
            name, row_of = _TABLES[kind]
            rows = [row for record in group for row in row_of(record)]
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)


Row = dict[str, JsonValue]


def _price_row(record: Record) -> Iterator[Row]:
    day = session_of(record.event_time).isoformat()
    yield {"symbol": record.symbol, "date": day, **record.payload}


def _action_row(record: Record) -> Iterator[Row]:
    value = record.payload.get("ratio", record.payload.get("amount"))
    day = (
        record.event_time.date().isoformat()
    )  # an exchange in New York opens on its own day in UTC
    yield {
        "symbol": record.symbol,
        "date": day,
        "type": record.payload["type"],
        "value": value,
    }


def _fundamental_rows(record: Record) -> Iterator[Row]:
    metrics = record.payload["metrics"]
    for metric, value in metrics.items() if isinstance(metrics, dict) else ():
        yield {
            "symbol": record.symbol,
            "period_end": record.payload["period_end"],
            "form": record.payload["form"],
            "accepted_at": _moment(record),
            "metric": metric,
            "value": value,
        }


def _profile_row(record: Record) -> Iterator[Row]:
    yield {"symbol": record.symbol, **record.payload}


def _published_row(record: Record) -> Iterator[Row]:
    yield {"symbol": record.symbol, "published_at": _moment(record), **record.payload}


def _macro_row(record: Record) -> Iterator[Row]:
    yield {**record.payload, "released_at": _moment(record)}


def _moment(record: Record) -> str:
    return record.available_at.isoformat()


_TABLES: dict[Kind, tuple[str, Callable[[Record], Iterator[Row]]]] = {
    Kind.PRICE: ("prices", _price_row),
    Kind.ACTION: ("actions", _action_row),
    Kind.NEWS: ("news", _published_row),
    Kind.FUNDAMENTALS: ("fundamentals", _fundamental_rows),
    Kind.PROFILE: ("profiles", _profile_row),
    Kind.MACRO: ("macro", _macro_row),
    Kind.SIGNAL: ("signals", _published_row),
}


def _of_symbol(symbol: str, world: _World) -> Iterator[Record]:
    def rng(part: str) -> random.Random:
        """Chance of its own for each part: a market that goes on for longer begins with the same records."""
        return random.Random(f"{world.seed}/{symbol}/{part}")

    company = _company(symbol, rng("company"))
    profile: dict[str, JsonValue] = {
        "name": company.name,
        "asset": "stock",
        "exchange": "Meridian Exchange",
        "industry": company.industry,
        "country": "Norvale",
    }
    yield _record(Kind.PROFILE, symbol, _ALWAYS, _ALWAYS, profile)
    chance, weeks = rng("leans"), range(min(world.weeks), max(world.weeks) + 2)
    leans = {week: chance.choice((-1, 0, 0, 1)) for week in weeks}
    drifts = _drifts(leans, rng("drifts"))
    yield from _prices(symbol, world, rng("prices"), drifts)
    yield from _news(symbol, company, world, rng("news"), leans)
    yield from _fundamentals(symbol, world, rng("fundamentals"))
    signals = rng("signals")
    for day in world.days:
        if day.weekday() == 2:
            at = open_of(day)
            payload: dict[str, JsonValue] = {
                "name": "web traffic",
                "value": round(signals.gauss(100, 8), 1),
            }
            yield _record(Kind.SIGNAL, symbol, at, at, payload)


def _company(symbol: str, rng: random.Random) -> Company:
    known = {one.symbol: one for one in SAMPLE_COMPANIES}
    industry, thing = rng.choice(_TRADES)
    return known.get(symbol) or Company(f"{symbol.title()} Invented", symbol, industry, thing, 1990)


def _drifts(leans: dict[int, int], rng: random.Random) -> dict[int, float]:
    """A session's mean move in each week."""
    return {
        week: lean * abs(rng.gauss(_LEAN, _LEAN / 3)) / 5 + rng.gauss(0, _WEEKLY_SD) / 5
        for week, lean in leans.items()
    }


def _prices(
    symbol: str, world: _World, rng: random.Random, drifts: dict[int, float]
) -> Iterator[Record]:
    """Sessions with splits of 2:1 now and then where a share is dear, and dividends four times a year."""
    price, exposure = rng.uniform(30, 190), rng.uniform(0.6, 1.4)
    payday = rng.randrange(63)
    for number, (day, week) in enumerate(zip(world.days, world.weeks, strict=True)):
        opened, closed = open_of(day), close_of(day)
        if price > _SPLIT_ABOVE and rng.random() < _SPLIT_RATE:
            price /= 2
            yield _record(Kind.ACTION, symbol, opened, opened, {"type": "split", "ratio": 2.0})
        if number % 63 == payday:
            amount = round(price * 0.005, 2)
            price -= amount
            yield _record(
                Kind.ACTION, symbol, opened, opened, {"type": "dividend", "amount": amount}
            )
        start = price * (1 + rng.gauss(0, 0.003))
        pull = 0.002 if price < 15 else 0.0  # no share becomes worthless
        move = exposure * world.market[number] + drifts[week] + rng.gauss(0, _DAILY_SD) + pull
        price = max(1.0, price * (1 + move))
        low, high = min(start, price), max(start, price)
        payload: dict[str, JsonValue] = {
            "open": round(start, 2),
            "high": round(high * (1 + abs(rng.gauss(0, 0.004))), 2),
            "low": round(low * (1 - abs(rng.gauss(0, 0.004))), 2),
            "close": round(price, 2),
            "volume": rng.randrange(200_000, 4_000_000),
            "currency": "USD",
        }
        price = float(round(price, 2))
        yield _record(Kind.PRICE, symbol, closed, closed, payload)


def _news(
    symbol: str, company: Company, world: _World, rng: random.Random, leans: dict[int, int]
) -> Iterator[Record]:
    """Two or three items a week that lean the way of the week after it; some come again in nearly the same words."""
    for week, days in groupby(zip(world.weeks, world.days, strict=True), key=lambda pair: pair[0]):
        first = next(days)[1]
        lean = leans[week + 1]
        fitting = [event for event in EVENTS if (event.sign == lean if lean else not event.telling)]
        moments = sorted(
            datetime.combine(first, time(11, tzinfo=UTC)) + timedelta(minutes=rng.randrange(6000))
            for _ in range(rng.choice((2, 3)))
        )
        for moment, event in zip(moments, rng.sample(fitting, len(moments)), strict=False):
            words = {
                "name": company.name,
                "thing": company.thing,
                "place": rng.choice(PLACES),
                "number": rng.randint(3, 19),
            }
            payload: dict[str, JsonValue] = {
                "headline": event.headline.format(**words),
                "summary": event.summary.format(**words),
                "url": None,
                "publisher": rng.choice(("Norvale Wire", "Eastmark Courier")),
            }
            yield _record(Kind.NEWS, symbol, moment, moment, payload)
            if rng.random() < _REPRINTED:
                again = moment + timedelta(minutes=rng.randrange(5, 300))
                reprint = {**payload, "headline": f"{payload['headline']} - report"}
                yield _record(Kind.NEWS, symbol, again, again, reprint)


def _fundamentals(symbol: str, world: _World, rng: random.Random) -> Iterator[Record]:
    """Quarters, each accepted 25 to 45 days after its end; the first one ends before the market begins."""
    margin, ratio = rng.uniform(0.05, 0.25), rng.uniform(0.8, 2.2)
    years = range(world.days[0].year - 1, world.days[-1].year + 1)
    for end in [date(year, month, day) for year in years for month, day in _QUARTER_ENDS]:
        margin = min(0.4, max(-0.05, margin + rng.gauss(0, 0.012)))
        ratio = max(0.3, ratio + rng.gauss(0, 0.06))
        filed = datetime.combine(end + timedelta(days=rng.randint(25, 45)), time(21, 5, tzinfo=UTC))
        metrics: dict[str, JsonValue] = {
            "netMargin": round(margin, 4),
            "grossMargin": round(margin + 0.3, 4),
            "currentRatio": round(ratio, 3),
        }
        payload: dict[str, JsonValue] = {
            "period_end": end.isoformat(),
            "form": "10-K" if end.month == 12 else "10-Q",
            "metrics": metrics,
        }
        event = datetime.combine(end, time(tzinfo=UTC))
        yield _record(Kind.FUNDAMENTALS, symbol, event, filed, payload)


def _macro(world: _World) -> Iterator[Record]:
    """Consumer prices of each month, released in the middle of the next one, and a weekly yield."""
    rng = random.Random(f"{world.seed}/macro")
    level, rate = 300.0, 4.0
    for day in world.days:
        if day.weekday() == 4:
            rate = max(0.1, rate + rng.gauss(0, 0.08))
            at = close_of(day)
            event = datetime.combine(day, time(tzinfo=UTC))
            yield _figure("10-year yield", round(rate, 2), "percent", day.isoformat(), event, at)
        if day.day < 12 or day.day > 18 or day.weekday() != 1:
            continue
        level *= 1 + rng.gauss(0.002, 0.001)
        last = day.replace(day=1) - timedelta(days=1)
        event = datetime.combine(last, time(tzinfo=UTC))
        released = open_of(day) - timedelta(hours=1)
        month = f"{last:%Y-%m}"
        yield _figure("consumer price index", round(level, 3), "index", month, event, released)


def _figure(
    series: str, value: float, unit: str, period: str, event: datetime, released: datetime
) -> Record:
    payload: dict[str, JsonValue] = {
        "series": series,
        "value": value,
        "unit": unit,
        "period": period,
    }
    return _record(Kind.MACRO, "", event, released, payload)


def _record(
    kind: Kind, symbol: str, event: datetime, available: datetime, payload: dict[str, JsonValue]
) -> Record:
    return Record(
        symbol=symbol,
        event_time=event,
        available_at=available,
        kind=kind,
        payload=payload,
        source=SOURCE,
        retrieved_at=available,
        sha256=sha256_bytes(f"{SOURCE}/{kind}/{symbol}/{event}".encode()),
    )


def write_example() -> None:
    """Write three years of four companies into `EXAMPLE`, for who has no files yet; what is there stays as it is."""
    if EXAMPLE.exists():
        log.event("the folder is there already and stays as it is", folder=f"./{EXAMPLE}")
        return
    write_market(EXAMPLE, EXAMPLE_SYMBOLS, date(2023, 11, 1), date(2026, 11, 20))
    log.event("an invented market written", folder=f"./{EXAMPLE}", symbols=list(EXAMPLE_SYMBOLS))


if __name__ == "__main__":
    log.setup()
    write_example()
