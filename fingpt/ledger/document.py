"""The page as one record: what ledger.json holds, and all that the page and its charts are drawn from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from fingpt.ledger.evidence import Evidence
from fingpt.ledger.figures import Figures
from fingpt.ledger.outlook import Outlook
from fingpt.record import Frozen
from fingpt.report.document import Sentence
from fingpt.report.reliability import ReliabilityBin
from fingpt.report.stats import Estimate

SCHEMA_VERSION = 1


class Role(StrEnum):
    """What a forecaster is in the ledger."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    TRIVIAL = "trivial forecast"


class Cell(Frozen):
    """One model's forecast of one symbol: its direction in words, its probability of a rise, and what came of it.

    `right` is None before the outcome and where there is none. `note`: why it does not count, or what was degraded.
    """

    forecast: str
    p_up: float | None = None
    right: bool | None = None
    note: str = ""


class SymbolLine(Frozen):
    """One symbol of a week: what happened, or its status, and a cell per model (None: that model has no forecast)."""

    symbol: str
    status: str
    realised_return: float | None = None
    excess_return: float | None = None
    label: str | None = None
    cells: tuple[Cell | None, ...]


class WeekTable(Frozen):
    """The forecasts of one close beside what happened; `over`: the window has ended and something is scored.

    `titles`: the models that made a forecast, in the order of each line's cells.
    """

    week: str
    titles: tuple[str, ...]
    horizon_end: str
    over: bool
    lines: tuple[SymbolLine, ...]


class Standing(Frozen):
    """One forecaster: its rows of every kind, its figures, and where its chain ends.

    `forecasts`: all that it made; `counted`: those that enter the figures; `left_out`: reason → number. `missed`:
    closes between its first and its last week without a forecast.
    """

    title: str
    role: Role
    run: str = ""
    model: str = ""
    adapter_sha256: str = ""
    verdict: str = ""
    entries: int = 0
    head: str = ""
    forecasts: int = 0
    left_out: dict[str, int] = Field(default_factory=dict)
    missed: tuple[str, ...] = ()
    figures: Figures


class Contest(Frozen):
    """One model against one rival on the rows that both forecast.

    `measure`: `direction` (share of right directions) or `probability` (Brier of a rise). `gain`: the model's mean lead
    by row, positive where the model is ahead. `evidence`: that it is ahead, valid at every look.
    """

    model: str
    rival: str
    measure: str
    n: int
    gain: Estimate
    evidence: Evidence


class RunningPoint(Frozen):
    """A forecaster's share of right directions over all its weeks up to one."""

    forecaster: str
    week: str
    accuracy: float
    n: int


class LedgerPage(Frozen):
    """The whole page; `id` is a hash of its content without `made_at`, the time at which it was made.

    `notice`: what stands above all else, such as that nothing on it is real. `newest_scores`: key → sha256 of the
    scores that nothing in the ledger rests on yet. `genesis_sha256`: which ledger it is of those with the same name.
    """

    schema_version: int = SCHEMA_VERSION
    id: str = ""
    made_at: str
    notice: str = ""
    name: str
    genesis_sha256: str = ""
    title: str
    began_at: str
    horizon_days: int
    universe: tuple[str, ...]
    headline: tuple[Sentence, ...]
    weeks: tuple[WeekTable, ...]
    standings: tuple[Standing, ...]
    contests: tuple[Contest, ...]
    against_all: dict[str, Evidence]
    running: tuple[RunningPoint, ...]
    reliability: dict[str, tuple[ReliabilityBin, ...]]
    outlook: Outlook | None
    newest_scores: dict[str, str] = Field(default_factory=dict)
    method: tuple[str, ...]
    disclaimer: tuple[str, ...]
