"""What a source is: it says what it can deliver and under which terms, fetches raw answers, and reads them.

Fetching and reading are apart: `fetch` talks to the world and returns bytes, `read` is pure. Raw answers are kept
(raw_store.py), so that building from them is repeatable without a network: same bytes, same records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Protocol

from fingpt.record import sha256_bytes
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy
from fingpt.sources.records import Kind, Record


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a source can deliver."""

    kinds: frozenset[Kind]
    symbols: frozenset[str] | None = None
    """None: any symbol may be asked for."""
    earliest: date | None = None
    """The first day it knows; None: unknown, or without bound."""
    needs_key: bool = False
    rate: float | None = None
    """Calls a second that it allows; None: no limit is known."""
    refused: Mapping[Kind, str] = field(default_factory=dict)
    """Kinds that the service has and that are not taken from it: a sentence that says why, and what to take."""


@dataclass(frozen=True)
class Answer:
    """What a source said to one request, byte for byte, and to what request."""

    source: str
    kind: Kind
    symbol: str
    """Empty for macro figures."""
    month: Month
    request: str
    """Address and parameters, or a file's name; never a key or a token."""
    retrieved_at: datetime
    """UTC."""
    body: bytes

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 of the body."""
        return sha256_bytes(self.body)


class Source(Protocol):
    """One supplier of records. Adding one is one file that has these five."""

    @property
    def name(self) -> str:
        """Lower case, as it stands in keys of the raw store, in records and in messages."""

    @property
    def policy(self) -> UsagePolicy:
        """What its terms allow."""

    def capabilities(self) -> Capabilities:
        """What it can deliver; asks nobody."""

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """Every answer (page) about one symbol and month; `symbol` is empty for macro figures.

        No answer at all means that the source has nothing there and has said so. Raises TransientError when asking
        again may help, PermissionDeniedError when the key is refused, MissingInputError when the symbol is unknown
        there, DataError when the answer is none (an empty or HTML body).
        """

    def read(self, answer: Answer) -> Iterator[Record]:
        """The records of one answer that `fetch` returned; pure. DataError when it cannot be read."""
