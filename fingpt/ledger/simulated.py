"""An invented year: 52 weeks of 30 symbols with known skill, through the same code as a real one. No price is real.

Two runs forecast: one knows a little of each move, one knows nothing, and its adapter is trained anew at
mid-year. Things go wrong as they do: the cluster is down in one week, a source in another, a stock is halted, one is
delisted, Good Friday is a holiday, and a weekly job fires twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from fingpt import log
from fingpt.ledger.chains import Ledger, open_ledger
from fingpt.ledger.keys import entry_key
from fingpt.ledger.records import Outcome, Status
from fingpt.ledger.score import score
from fingpt.ledger.write import write
from fingpt.metrics import Floats
from fingpt.prompts.examples import LABELS
from fingpt.record import canonical_json, sha256_bytes
from fingpt.report.probabilities import MARGINS
from fingpt.storage import LocalStore

NAME = "demo"
NOTICE = "Every symbol, price and forecast on this page is invented."
CHAMPION, CHALLENGER = "skilled-00000001", "noise-00000002"
FIRST_FRIDAY = date(2025, 1, 3)
GOOD_FRIDAY = date(2025, 4, 18)
_CLOSE = time(21)
_HALF = len(LABELS) // 2
_MARKET, _OWN = 1.3, 2.6
"""SDs in percent of the market's part and of a stock's own: directions of a week are as alike as in the published rows,
where a week of 30 counts as 6 (design effect 4.7).
"""
_LONE_HORIZON = timedelta(days=7)


@dataclass(frozen=True)
class Year:
    """What is invented. `skill`: correlation of the champion's opinion with the coming move; `seed` draws the rest."""

    weeks: int = 52
    symbols: int = 30
    skill: float = 0.3
    seed: int = 20250103

    @property
    def names(self) -> tuple[str, ...]:
        """Invented tickers."""
        return tuple(f"INV{number:02d}" for number in range(1, self.symbols + 1))

    def close(self, week: int) -> datetime:
        """The close of a week's last session; Good Friday's week ends on Thursday."""
        day = FIRST_FRIDAY + timedelta(weeks=week)
        day -= timedelta(days=1) if day == GOOD_FRIDAY else timedelta()
        return datetime.combine(day, _CLOSE, UTC)

    def moves(self) -> Floats:
        """(weeks, symbols): total returns in percent, a part of them the market's."""
        rng = np.random.default_rng(self.seed)
        market = 0.15 + _MARKET * rng.standard_normal((self.weeks, 1))
        found: Floats = market + _OWN * rng.standard_normal((self.weeks, self.symbols))
        return found

    def opinions(self, run: str) -> Floats:
        """(weeks, symbols): what a run thinks of each move, with SD 1; the challenger's is noise."""
        noise = np.random.default_rng([self.seed, *run.encode()]).standard_normal(
            (self.weeks, self.symbols)
        )
        own = self.skill if run == CHAMPION else 0.0
        moves = self.moves()
        found: Floats = own * moves / moves.std() + np.sqrt(1 - own**2) * noise
        return found


class InventedMarket:
    """The Market of a Year; `down`: symbols whose source does not answer."""

    def __init__(self, year: Year, down: frozenset[str] = frozenset()) -> None:
        self._moves = year.moves()
        self._weeks = {year.close(week): week for week in range(year.weeks)}
        self._places = {name: place for place, name in enumerate(year.names)}
        self._down = down

    @property
    def digest(self) -> str:
        """sha256 of the invented moves."""
        return sha256_bytes(self._moves.tobytes())

    @property
    def degraded(self) -> Mapping[str, str]:
        """The parts whose source is down."""
        return {f"invented/{name}": "the source does not answer" for name in sorted(self._down)}

    def outcome(self, symbol: str, as_of: datetime, horizon_end: datetime) -> Outcome:  # noqa: ARG002
        """The invented return; one stock is halted for a week, one delisted in autumn."""
        week, place = self._weeks[as_of], self._places[symbol]
        if symbol in self._down:
            return Outcome(symbol=symbol, status=Status.SOURCE_DOWN, reason="invented")
        if (week, place) == (19, 4):
            return Outcome(symbol=symbol, status=Status.HALTED, reason="invented")
        if week >= 40 and place == 11:
            return Outcome(symbol=symbol, status=Status.DELISTED, reason="invented")
        move = float(self._moves[week, place])
        return Outcome(
            symbol=symbol,
            status=Status.OK,
            realised_return=move / 100,
            excess_return=(move - float(self._moves[week].mean())) / 100,
            label=label_of(move),
        )


def label_of(percent: float) -> str:
    """The label of a move in percent; 0 counts as up, as published."""
    number = min(max(int(np.ceil(abs(percent))), 1), _HALF)
    return LABELS[_HALF + number - 1] if percent >= 0 else LABELS[_HALF - number]


def simulate(folder: Path, year: Year) -> Ledger:
    """Live through the year in a store below `folder`: forecast, write and score week by week; the ledger at its end.

    A repeated call finds all of it and changes nothing.
    """
    store = LocalStore(folder)
    with log.progress("weeks", year.weeks) as bar:
        for week in range(year.weeks):
            _live(store, folder, year, week)
            bar.advance()
    end = year.close(year.weeks - 1) + _LONE_HORIZON + timedelta(hours=2)
    ledger = open_ledger(store, NAME)
    score(ledger, lambda *_: InventedMarket(year), end)
    return ledger


def _live(store: LocalStore, folder: Path, year: Year, week: int) -> None:
    """What happens after one close."""
    for key, record in _records(year, week):
        _keep(folder / key, canonical_json(record))
    if week == 24:  # the cluster is down; the job of the week after catches up
        return
    now = year.close(week) + timedelta(hours=2)
    _write(store, folder, now)
    if week == 9:  # the job fires twice
        _write(store, folder, now + timedelta(minutes=7))
    if week % 13 == 12 or week in (33, 34):
        down = frozenset(year.names[:3]) if week == 33 else frozenset()
        score(open_ledger(store, NAME), lambda *_: InventedMarket(year, down), now)


def _keep(path: Path, data: bytes) -> None:
    """Write an invented forecast plainly: to sync three thousand files to the disk would take a minute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write(store: LocalStore, folder: Path, now: datetime) -> None:
    """Write what there is, and give the objects the times that they would have had."""
    for entry in write(store, NAME, (CHAMPION, CHALLENGER), now).entries:
        path = folder / entry_key(NAME, entry.chain, entry.number)
        os.utime(path, (now.timestamp(), now.timestamp()))


def _records(year: Year, week: int) -> Iterator[tuple[str, dict[str, object]]]:
    """The forecasts of one close, as a forecaster keeps them."""
    for run in (CHAMPION, CHALLENGER):
        opinions = year.opinions(run)[week]
        for symbol, opinion in zip(year.names, opinions, strict=True):
            record = _record(year, week, run, symbol, float(opinion))
            prompt = str(record["prompt_sha256"])[:12]
            yield f"forecasts/{run}/{year.close(week).date()}/{symbol}-{prompt}.json", record


def _record(year: Year, week: int, run: str, symbol: str, opinion: float) -> dict[str, object]:
    """One record: probabilities that lean the way of the opinion, and the direction that they lean to."""
    close = year.close(week)
    end = year.close(week + 1) if week + 1 < year.weeks else close + _LONE_HORIZON
    probabilities = leaning(opinion * (year.skill or 0.3))
    best = int(np.argmax(probabilities))
    up = probabilities[_HALF:].sum() >= 0.5
    unread = (week * year.symbols + int(symbol[3:])) % 97 == 0
    adapter = "invented, trained anew" if run == CHALLENGER and week >= 26 else f"invented {run}"
    parsed: dict[str, object] = {
        "direction": 1 if up else -1,
        "bin": best - _HALF + 1 if best >= _HALF else _HALF - best,
    }
    return {
        "symbol": symbol,
        "as_of": close.isoformat(),
        "horizon_end": end.isoformat(),
        "created_at": (close + timedelta(hours=1)).isoformat(),
        "run": run,
        "model": "invented",
        "adapter_sha256": sha256_bytes(adapter.encode()),
        "base_sha256": sha256_bytes(b"no weights"),
        "prompt_sha256": sha256_bytes(f"{symbol} {close}".encode()),
        "facts_sha256": sha256_bytes(b"no facts"),
        "parsed": {"reason": "no prediction line"} if unread else parsed,
        "probabilities": probabilities.tolist(),
        "verdict": "invented forecasts: no run was trained",
        "code_version": "simulation",
    }


def leaning(opinion: float) -> Floats:
    """Twelve probabilities of a move that is normal around `opinion` standard deviations of all moves."""
    spread = float(np.hypot(_MARKET, _OWN))
    weights = np.exp(-0.5 * ((MARGINS - opinion * spread) / spread) ** 2)
    weights[[0, -1]] *= 1.6  # the open bins hold whole tails
    found: Floats = weights / weights.sum()
    return found
