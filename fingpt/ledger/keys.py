"""Every key of a ledger in the bucket, and which names a ledger may have.

    ledger/<name>/genesis.json                             what was fixed before the first forecast
    ledger/<name>/entries/<chain>/<number>.json            one week of one run, create-only, numbered from 1
    ledger/<name>/scores/<chain>/<number>/<attempt>.json   what happened, create-only; the last attempt counts

A chain is a run with one adapter. Entries are numbered instead of dated because a number has exactly one successor: two
writers that append at once meet at the same key, one of them wins, and no fork can arise.
"""

from __future__ import annotations

import re

from fingpt.errors import ConfigError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_DIGITS = 6
FORECASTS = "forecasts/"
"""Where forecasts are kept: `forecasts/<run>/<as-of date>/<symbol>-<prompt>.json`."""


def check_name(name: str) -> str:
    """`name` itself when a ledger can have it; ConfigError otherwise."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name[:60]}' is no name of a ledger; use up to 40 small letters, digits and hyphens: LEDGER=weekly."
        )
    return name


def chain_id(run: str, adapter_sha256: str) -> str:
    """The chain of a run's forecasts: another adapter under the same run's name begins another chain."""
    return f"{run}-{adapter_sha256[:12]}"


def ledger_prefix(name: str) -> str:
    """All that belongs to a ledger."""
    return f"ledger/{name}"


def genesis_key(name: str) -> str:
    """What was fixed before the first forecast."""
    return f"{ledger_prefix(name)}/genesis.json"


def entries_prefix(name: str) -> str:
    """All entries of all chains."""
    return f"{ledger_prefix(name)}/entries"


def entry_key(name: str, chain: str, number: int) -> str:
    """Entry `number`, from 1, of a chain."""
    return f"{entries_prefix(name)}/{chain}/{number:0{_DIGITS}d}.json"


def scores_prefix(name: str) -> str:
    """All scores of all chains."""
    return f"{ledger_prefix(name)}/scores"


def score_key(name: str, chain: str, number: int, attempt: int) -> str:
    """Attempt `attempt`, from 1, to score an entry."""
    return f"{scores_prefix(name)}/{chain}/{number:0{_DIGITS}d}/{attempt:0{_DIGITS}d}.json"


def entry_place(name: str, key: str) -> tuple[str, int] | None:
    """Chain and number of an entry's key; None for any other key."""
    match = re.fullmatch(rf"{re.escape(entries_prefix(name))}/([^/]+)/(\d{{{_DIGITS}}})\.json", key)
    return (match[1], int(match[2])) if match and int(match[2]) else None


def score_place(name: str, key: str) -> tuple[str, int, int] | None:
    """Chain, number of the entry and attempt of a score's key; None for any other key."""
    digits = rf"(\d{{{_DIGITS}}})"
    match = re.fullmatch(rf"{re.escape(scores_prefix(name))}/([^/]+)/{digits}/{digits}\.json", key)
    return (match[1], int(match[2]), int(match[3])) if match else None
