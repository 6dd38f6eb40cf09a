"""The two shipped sets of rows: invented companies, weekly prices and news, in the published schema.

In `sample` the news of most weeks are all good with a raised outlook, or all bad with a cut one, and the next week's
price follows them, so that even a tiny model can learn to forecast; in `noise` such weeks are as frequent and tell
nothing, so that none can. Pure functions of a seed; `write_sample` alone touches the disk (`make sample` runs
`python -m fingpt.synthetic.rows`). None of the faults that the leak linter looks for is planted: no market
capitalisation, fundamentals at least 60 days old, an embargo between train and test. What a label says follows from the
rounded prices that the next prompts show.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from fingpt.runs.freeze import NOISE, SAMPLE
from fingpt.synthetic.text import EVENTS, PLACES, SAMPLE_COMPANIES, Company, Event

SAMPLE_SEED, NOISE_SEED = 20310105, 20310106
TRAIN_WEEKS, TEST_WEEKS, EMBARGO_WEEKS = 28, 10, 4
COLUMNS = ("prompt", "answer", "period", "label", "symbol")

_SIGNALS = (*(-1,) * 9, 0, 0, *(1,) * 9)
_REPORTING_LAG = timedelta(days=60)
_WEEK = timedelta(days=7)

SYSTEM = (
    "You are a stock market analyst. List the positive developments and the potential concerns of a company from its "
    "news and basic financials of the past weeks, then predict its stock price for the upcoming week. Answer in this "
    "format:\n\n[Positive Developments]:\n1. ...\n\n[Potential Concerns]:\n1. ...\n\n[Prediction & Analysis]\n"
    "Prediction: ...\nAnalysis: ..."
)


@dataclass(frozen=True, slots=True)
class News:
    """One news item with the point that an analyst makes of it (empty when none)."""

    headline: str
    summary: str
    point: str
    sign: int
    telling: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One question and its answer in parts; `columns` is the published form. `start` is the cut-off date."""

    user: str
    positives: tuple[str, ...]
    concerns: tuple[str, ...]
    analysis: str
    label: str
    symbol: str
    start: date

    @property
    def period(self) -> str:
        """The forecast week."""
        return f"{self.start} to {self.start + _WEEK}"

    @property
    def answer(self) -> str:
        """The answer in the published layout."""
        return (
            f"[Positive Developments]:\n{_numbered(self.positives)}\n\n"
            f"[Potential Concerns]:\n{_numbered(self.concerns)}\n\n"
            f"[Prediction & Analysis]:\nPrediction: {self.label.capitalize()}\nAnalysis: {self.analysis}"
        )

    def columns(self) -> dict[str, str]:
        """The five published columns, the prompt with its Llama-2 marks."""
        prompt = f"[INST]<<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{self.user}[/INST]"
        values = (prompt, self.answer, self.period, self.label, self.symbol)
        return dict(zip(COLUMNS, values, strict=True))


def _numbered(points: tuple[str, ...]) -> str:
    return "\n".join(f"{number}. {point}" for number, point in enumerate(points, start=1))


def label_of(before: Decimal, after: Decimal) -> str:
    """The published label of a move: bins of one percentage point, upper edges included."""
    change = (after - before) / before * 100
    number = max(1, math.ceil(abs(change)))
    size = "more than 5%" if number > 5 else f"{number - 1}-{number}%"
    return f"{'up' if change >= 0 else 'down'} by {size}"


def _news(rng: random.Random, company: Company, event: Event) -> News:
    slots = {
        "name": company.name,
        "thing": company.thing,
        "place": rng.choice(PLACES),
        "number": rng.randint(3, 19),
    }
    texts = (event.headline, event.summary, event.point)
    headline, summary, point = (text.format(**slots) for text in texts)
    return News(headline, summary, point, event.sign, event.telling)


def _events(rng: random.Random, signal: int, before: list[Event]) -> list[Event]:
    """Two or three events of a week, none of them in `before`, the week before.

    With a signal of ±1 all have that sign and one of them is from the outlook family; else none is, and signs mix.
    """
    fresh = [event for event in EVENTS if event not in before]
    count = rng.choice((2, 3))
    plain = [event for event in fresh if not event.telling]
    if not signal:
        return rng.sample(plain, count)
    fitting = [event for event in plain if event.sign == signal]
    events = rng.sample(fitting, min(count - 1, len(fitting)))
    telling = rng.choice([event for event in fresh if event.telling and event.sign == signal])
    events.insert(rng.randrange(len(events) + 1), telling)
    return events


def _news_by_week(
    rng: random.Random, company: Company, signals: list[int]
) -> list[tuple[News, ...]]:
    """The items of each week; `signals` holds what each week's news shall tell."""
    weeks: list[tuple[News, ...]] = []
    events: list[Event] = []
    for signal in signals:
        events = _events(rng, signal, events)
        weeks.append(tuple(_news(rng, company, event) for event in events))
    return weeks


def _move(rng: random.Random, signal: int, market: float) -> float:
    """A week's change in per cent: the signal's, or noise around the market's."""
    if signal:
        return signal * max(0.3, rng.gauss(2.6, 1.3)) + 0.3 * market
    return market + rng.gauss(0.0, 1.7)


def _financials(company: Company, seed: int, cutoff: date) -> str:
    """The newest quarter that had surely been reported at the cut-off."""
    ends = [
        date(year, month, day)
        for year in (cutoff.year - 1, cutoff.year)
        for month, day in ((3, 31), (6, 30), (9, 30), (12, 31))
    ]
    quarter = max(end for end in ends if end + _REPORTING_LAG <= cutoff)
    rng = random.Random(f"{seed}/{company.symbol}/{quarter}")
    return (
        f"Some recent basic financials of {company.symbol}, reported at {quarter}, are presented below:\n\n"
        f"[Basic Financials]:\n\ncurrentRatio: {rng.uniform(0.7, 2.4):.2f}\ngrossMargin: {rng.uniform(0.2, 0.7):.2f}\n"
        f"netMargin: {rng.uniform(0.02, 0.25):.2f}\n\n"
    )


def _introduction(company: Company) -> str:
    return (
        f"[Company Introduction]:\n\n{company.name} is a company of the {company.industry} sector, publicly traded "
        f"since {company.since}. It makes {company.thing} and trades under the ticker {company.symbol} on the "
        "Meridian Exchange.\n\n"
    )


def _past_week(
    company: Company, start: date, prices: tuple[Decimal, Decimal], news: tuple[News, ...]
) -> str:
    direction = "increased" if prices[1] > prices[0] else "decreased"
    items = "\n\n".join(f"[Headline]: {item.headline}\n[Summary]: {item.summary}" for item in news)
    return (
        f"From {start} to {start + _WEEK}, {company.symbol}'s stock price {direction} from {prices[0]} to "
        f"{prices[1]}. News during this period are listed below:\n\n{items}\n\n"
    )


def _closing(company: Company, start: date) -> str:
    return (
        f"Based on all the information before {start}, let's first list two positive developments and two potential "
        f"concerns for {company.symbol}, mostly from its news. Then predict the {company.symbol} stock price movement "
        f"for next week ({start} to {start + _WEEK}) with a short analysis."
    )


def _points(rng: random.Random, news: list[News], sign: int) -> tuple[str, str]:
    """Two points of one sign: what is telling first, then the newest news, then the financials."""
    fitting = [item for item in reversed(news) if item.sign == sign]
    found = [item.point for item in sorted(fitting, key=lambda item: not item.telling)]
    spare = (
        ["Its margins leave room for investment.", "Its current ratio looks comfortable."]
        if sign > 0
        else ["Its margins leave little room for mistakes.", "Its current ratio needs watching."]
    )
    rng.shuffle(spare)
    first, second = (found + spare)[:2]
    return first, second


def _analysis(rng: random.Random, label: str, points: tuple[str, str]) -> str:
    """Hindsight, as in the published answers: argues towards the outcome. `points` = (good, bad)."""
    rising = label.startswith("up")
    verdict = rng.choice(("outweighs", "matters more than"))
    return (
        f"{points[0 if rising else 1]} This {verdict} the {'concerns' if rising else 'good news'}, so the price is "
        f"likely to {'rise' if rising else 'fall'} by {label.split(' by ')[1]} next week."
    )


def _company_rows(
    company: Company, seed: int, first: date, markets: list[float], telling: bool
) -> list[Row]:
    """One row per target week of a company; `markets` holds each week's market move, from the week before the first."""
    rng = random.Random(f"{seed}/{company.symbol}")
    signals = [rng.choice(_SIGNALS) for _ in markets]
    prices = [Decimal(f"{rng.uniform(20, 180):.2f}")]
    for signal, market in zip(signals, markets, strict=True):
        change = Decimal(f"{_move(rng, signal, market):.4f}") / 100
        after = (prices[-1] * (1 + change)).quantize(Decimal("0.01"))
        prices.append(after if after != prices[-1] else after + Decimal("0.01"))
    # The news of a week hold the signal of the week after it, or of no week at all.
    told = signals[1:] if telling else [rng.choice(_SIGNALS) for _ in signals[1:]]
    news = _news_by_week(rng, company, told)
    rows = []
    for target in range(1, len(markets)):
        start, past = first + target * _WEEK, target - 1
        seen = list(news[past])
        positives, concerns = _points(rng, seen, 1), _points(rng, seen, -1)
        label = label_of(prices[target], prices[target + 1])
        user = (
            _introduction(company)
            + _past_week(company, start - _WEEK, (prices[past], prices[target]), news[past])
            + _financials(company, seed, start)
            + _closing(company, start)
        )
        analysis = _analysis(rng, label, (positives[0], concerns[0]))
        rows.append(Row(user, positives, concerns, analysis, label, company.symbol, start))
    return rows


def rows_by_company(
    companies: tuple[Company, ...], seed: int, first: date, weeks: int, *, telling: bool = True
) -> list[list[Row]]:
    """`weeks` target weeks of each company from the Sunday `first` on; all companies share the market's moves.

    With `telling` off the news say nothing about the next week: text to learn words from, and no skill.
    """
    rng = random.Random(f"{seed}/market")
    markets = [rng.gauss(0.0, 0.7) for _ in range(1 + weeks)]
    return [_company_rows(company, seed, first - _WEEK, markets, telling) for company in companies]


def sample_rows(seed: int = SAMPLE_SEED, *, telling: bool = True) -> dict[str, list[Row]]:
    """A shipped set: `train` and `test` by week, with the embargo of `prep` left out between them.

    Of the 28 train weeks prep makes 20 to train on, 4 of embargo, 4 of validation.
    """
    weeks = TRAIN_WEEKS + EMBARGO_WEEKS + TEST_WEEKS
    table = rows_by_company(SAMPLE_COMPANIES, seed, date(2031, 1, 5), weeks, telling=telling)
    return {
        "train": [row for rows in table for row in rows[:TRAIN_WEEKS]],
        "test": [row for rows in table for row in rows[TRAIN_WEEKS + EMBARGO_WEEKS :]],
    }


def write_rows(rows: dict[str, list[Row]], folder: Path) -> None:
    """Write train.parquet and test.parquet (zstd) into `folder`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for split, part in rows.items():
        table = pa.Table.from_pylist(
            [row.columns() for row in part],
            schema=pa.schema([(column, pa.string()) for column in COLUMNS]),
        )
        pq.write_table(table, folder / f"{split}.parquet", compression="zstd", compression_level=19)


def write_sample(folder: Path = SAMPLE, noise: Path = NOISE) -> None:
    """Write both shipped sets."""
    write_rows(sample_rows(), folder)
    write_rows(sample_rows(NOISE_SEED, telling=False), noise)


if __name__ == "__main__":
    write_sample()
