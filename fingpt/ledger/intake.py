"""Reading forecasts as they lie in the bucket, whoever made them: what the ledger keeps of a record, and its sha256.

The ledger reads the fields it scores and ties each row to the whole record by its hash, so a record may gain fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fingpt.errors import DataError
from fingpt.ledger.keys import FORECASTS, chain_id
from fingpt.ledger.records import Forecast
from fingpt.prompts.examples import LABELS
from fingpt.reading import Unreadable, first_fault, parse_object
from fingpt.record import Moment, sha256_bytes
from fingpt.storage import ObjectStore

_KEY = re.compile(rf"{FORECASTS}([^/]+)/(\d{{4}}-\d\d-\d\d)/[^/]+\.json")
_SIZES = len(LABELS) // 2


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Parsed(_Lenient):
    """What was read in the answer: `direction` is None and `reason` set where nothing could be."""

    direction: int | None = None
    bin: int | None = None
    reason: str = ""


class _Record(_Lenient):
    """The fields of a forecast record that the ledger uses."""

    symbol: str
    as_of: Moment
    horizon_end: Moment
    created_at: Moment
    late: bool = False
    run: str
    model: str
    adapter_sha256: str
    base_sha256: str
    prompt_sha256: str
    facts_sha256: str
    available_at_max: Moment | None = None
    degraded: dict[str, str] = Field(default_factory=dict)
    parsed: _Parsed
    probabilities: tuple[float, ...] | None = None
    probabilities_calibrated: tuple[float, ...] | None = None
    verdict: str = ""
    code_version: str = ""


@dataclass(frozen=True)
class Intake:
    """Forecasts of one chain and one close, in the order of their symbols, with what they share."""

    chain: str
    run: str
    model: str
    adapter_sha256: str
    base_sha256: str
    code_version: str
    verdict: str
    as_of: datetime
    horizon_end: datetime
    forecasts: tuple[Forecast, ...]


def forecast_weeks(
    store: ObjectStore, runs: Iterable[str] = ()
) -> dict[tuple[str, str], list[str]]:
    """(run, day of the close) → keys of its forecasts, by listing; of all runs where none are named."""
    found: dict[tuple[str, str], list[str]] = {}
    prefixes = [f"{FORECASTS}{run}/" for run in runs] or [FORECASTS]
    for prefix in prefixes:
        for key in store.keys(prefix):
            match = _KEY.fullmatch(key)
            if match:
                found.setdefault((match[1], match[2]), []).append(key)
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0])))


def read_intakes(store: ObjectStore, keys: Iterable[str]) -> list[Intake]:
    """The forecasts under `keys`, one Intake for each adapter and close; DataError naming a record that is none."""
    groups: dict[tuple[str, datetime, datetime], list[tuple[_Record, Forecast]]] = {}
    for key in keys:
        record, forecast = _read(store, key)
        chain = chain_id(record.run, record.adapter_sha256)
        groups.setdefault((chain, record.as_of, record.horizon_end), []).append((record, forecast))
    return [_intake(chain, members) for (chain, _, _), members in sorted(groups.items())]


def _read(store: ObjectStore, key: str) -> tuple[_Record, Forecast]:
    data = store.read(key)
    try:
        record = _Record.model_validate(parse_object(data))
        own = record.probabilities_calibrated or record.probabilities
        forecast = Forecast(
            symbol=record.symbol,
            key=key,
            sha256=sha256_bytes(data),
            created_at=record.created_at,
            late=record.late,
            prompt_sha256=record.prompt_sha256,
            facts_sha256=record.facts_sha256,
            available_at_max=record.available_at_max,
            direction=record.parsed.direction or 0,
            label=_label(record.parsed),
            failure=record.parsed.reason,
            probabilities=own,
            calibrated=record.probabilities_calibrated is not None,
            degraded=tuple(sorted(record.degraded)),
        )
    except ValidationError as fault:
        raise DataError(
            f"{store.uri}/{key} is no forecast ({first_fault(fault)}); {_REMEDY}."
        ) from None
    except Unreadable as fault:
        raise DataError(f"{store.uri}/{key} {fault}; {_REMEDY}.") from None
    if key.split("/")[1:3] != [record.run, record.as_of.date().isoformat()]:
        raise DataError(
            f"{store.uri}/{key} holds a forecast of run {record.run[:60]} of {record.as_of.date()}, which its place "
            f"does not say; {_REMEDY}."
        )
    return record, forecast


_REMEDY = 'whoever wrote it is not this project; name the runs to write, RUNS="id id", or remove it'


def _label(parsed: _Parsed) -> str | None:
    """The label of a direction and a bin from 1 (0-1%) to 6 (more than 5%); None without a size."""
    if not parsed.direction or not parsed.bin or not 1 <= parsed.bin <= _SIZES:
        return None
    return LABELS[_SIZES + parsed.bin - 1] if parsed.direction > 0 else LABELS[_SIZES - parsed.bin]


def _intake(chain: str, members: list[tuple[_Record, Forecast]]) -> Intake:
    """What the first record says of the run holds for all; of two prompts of a symbol, the one that was made first."""
    first = members[0][0]
    ordered = sorted(
        (forecast for _, forecast in members), key=lambda f: (f.symbol, f.created_at, f.key)
    )
    return Intake(
        chain=chain,
        run=first.run,
        model=first.model,
        adapter_sha256=first.adapter_sha256,
        base_sha256=first.base_sha256,
        code_version=first.code_version,
        verdict=first.verdict,
        as_of=first.as_of,
        horizon_end=first.horizon_end,
        forecasts=tuple(ordered),
    )
