"""What is kept of a forecast: the request (questions of one close) and a create-only record for each run and symbol.

A request belongs to no run and holds nothing that depends on when it was made, so the same data give the same bytes and
the same key. A record is written once and never again; who asks twice gets the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from fingpt.errors import MissingInputError
from fingpt.prompts.examples import LABELS
from fingpt.record import Frozen, Moment, canonical_json, sha256_bytes
from fingpt.runs.manifest import decode, encode
from fingpt.storage import ObjectStore, put

VERSION = 1

DISCLAIMER = (
    "For research and education. No investment advice, no recommendation to buy, hold or sell, and not tailored to any "
    "person. A hypothetical forecast by a language model, without costs or limits of trading: it may be wrong, "
    "memorised or made up, and past scores say little about later weeks. Made by a program from the data named here, "
    "at the time named here; whoever passes it on states his own interests."
)
"""What every forecast carries inside itself, wherever it is shown."""


Chances = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...],
    Field(min_length=len(LABELS), max_length=len(LABELS)),
]
"""The probability of each label, in the order of `fingpt.prompts.examples.LABELS`."""


class Question(Frozen):
    """What is asked of one symbol: the user part of the prompt, and the facts that it tells.

    `available_at_max`: when the newest of them could be known, at the request's `as_of` at last. `degraded`: parts that
    are missing although they were wanted → why.
    """

    symbol: str
    text: str
    facts: dict[str, JsonValue]
    sources: tuple[str, ...] = ()
    available_at_max: Moment | None = None
    degraded: dict[str, str] = Field(default_factory=dict)

    @property
    def prompt_sha256(self) -> str:
        """Identity of what is asked; each run adds the system text and the chat template that its rows have."""
        return sha256_bytes(self.text.encode())

    @property
    def facts_sha256(self) -> str:
        """Identity of the facts."""
        return sha256_bytes(canonical_json(self.facts))


class ForecastRequest(Frozen):
    """The questions of one close. `due`: a forecast made later may know something of the outcome, and is late.

    `refused`: symbols that could not be asked → why; they never vanish.
    """

    version: int = VERSION
    as_of: Moment
    horizon_end: Moment
    due: Moment
    questions: tuple[Question, ...]
    refused: dict[str, str] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where it lies: `requests/<day of the close>/<12 digits of its sha256>.json`."""
        return f"requests/{self.as_of.date()}/{sha256_bytes(encode(self))[:12]}.json"


class Parsed(Frozen):
    """What the parser `robust` reads in an answer, or the `reason` why it cannot.

    `direction`: +1, 0 or −1. `margin`: signed size in percentage points. `bin`: 1 to 6, 0 for flat. `sections`: text of
    pros, cons and analysis.
    """

    direction: Annotated[int, Field(ge=-1, le=1)] | None = None
    margin: float | None = None
    bin: Annotated[int, Field(ge=0, le=6)] | None = None
    sections: dict[str, str] = Field(default_factory=dict)
    flags: tuple[str, ...] = ()
    reason: str = ""


class ForecastRecord(Frozen):
    """One forecast of `symbol`: everything that was known, who was asked, and the answer.

    The outcome is the total return of (`as_of`, `horizon_end`]. `late`: made after `due`, so it proves nothing.
    `probabilities`: as the model gives them; `probabilities_calibrated`: with the `temperature` that the run's
    evaluation fitted on its validation weeks, None without any. `verdict`: what the run's own scores say of its skill,
    `calibration`: how its probabilities fared on its test weeks. `dropped_news`: oldest items that the run's
    `train.max_tokens` had no room for. `warnings`: what else makes the forecast doubtful.
    """

    version: int = VERSION
    symbol: str
    as_of: Moment
    horizon_end: Moment
    due: Moment | None = None
    created_at: Moment
    late: bool = False
    run: str
    model: str
    adapter_sha256: str
    base_sha256: str
    prompt_sha256: str
    facts_sha256: str
    facts: dict[str, JsonValue]
    sources: tuple[str, ...] = ()
    available_at_max: Moment | None = None
    degraded: dict[str, str] = Field(default_factory=dict)
    dropped_news: int = 0
    warnings: tuple[str, ...] = ()
    answer: str
    truncated: bool = False
    parsed: Parsed
    probabilities: Chances
    probabilities_calibrated: Chances | None = None
    temperature: float | None = None
    verdict: str
    calibration: str = ""
    code_version: str
    disclaimer: str = DISCLAIMER

    @model_validator(mode="after")
    def _a_temperature_made_them(self) -> Self:
        if (self.probabilities_calibrated is None) is not (self.temperature is None):
            raise ValueError("calibrated probabilities and their temperature belong together")
        return self

    @property
    def key(self) -> str:
        """Where it lies."""
        return record_key(self.run, self.as_of, self.symbol, self.prompt_sha256)


def record_key(run: str, as_of: datetime, symbol: str, prompt_sha256: str) -> str:
    """`forecasts/<run>/<day of the close>/<SYMBOL>-<12 digits of the prompt's sha256>.json`."""
    return f"forecasts/{run}/{as_of.astimezone(UTC).date()}/{symbol}-{prompt_sha256[:12]}.json"


def keep_request(store: ObjectStore, request: ForecastRequest) -> str:
    """Store a request, or find it there; returns its key."""
    put(store, request.key, encode(request))
    return request.key


def read_request(store: ObjectStore, key: str) -> ForecastRequest:
    """The request under `key`; MissingInputError when there is none, StorageError when it was changed."""
    if not store.exists(key):
        raise MissingInputError(
            f"There is no request {key} in {store.uri}; make it by a forecast: "
            "make forecast RUN=id SYMBOL=AAPL DATE=2026-11-20 DATA=folder."
        )
    return decode(ForecastRequest, store.read(key), key)


def keep_record(store: ObjectStore, record: ForecastRecord) -> ForecastRecord:
    """Store a record; where another process was first, its record stands and is returned."""
    if store.create(record.key, encode(record)):
        return record
    return decode(ForecastRecord, store.read(record.key), record.key)


def find_records(
    store: ObjectStore, run: str, request: ForecastRequest
) -> Mapping[str, ForecastRecord]:
    """The records that `run` has made for `request`, by symbol; StorageError when one was changed."""
    found = {}
    for question in request.questions:
        key = record_key(run, request.as_of, question.symbol, question.prompt_sha256)
        if store.exists(key):
            found[question.symbol] = decode(ForecastRecord, store.read(key), key)
    return found
