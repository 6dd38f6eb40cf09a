"""What a process says: JSON lines where a machine reads, a person's view with progress bars on a terminal.

Entry points call `setup` once. Everything goes to stderr; stdout is for results.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fingpt import streams

_LOGGER = logging.getLogger("fingpt")
_QUIET = ("botocore", "boto3", "urllib3", "s3transfer", "httpx", "httpx2", "filelock")
_HEARTBEAT_SECONDS = 30.0
_HEARTBEAT_SHARE = 0.1


class Meter(Protocol):
    """Progress of one piece of work."""

    def advance(self, n: float = 1, **fields: object) -> None:
        """Count `n` more units as done; `fields` are shown beside the bar."""


def setup(**identity: str) -> None:
    """Send the project's events to stderr, each carrying `identity` (for example stage and run)."""
    streams.forgive()
    _LOGGER.handlers.clear()
    _LOGGER.propagate = False
    _LOGGER.setLevel(logging.INFO)
    if sys.stderr.isatty():
        console = Console(stderr=True)
        handler: logging.Handler = RichHandler(
            console=console, show_path=False, show_level=False, log_time_format="[%X]", markup=False
        )
        handler.setFormatter(_PersonFormatter())
    else:
        handler = _LineHandler()
        handler.setFormatter(_JsonFormatter(identity))
    _LOGGER.addHandler(handler)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def event(name: str, **fields: object) -> None:
    """Say that `name` happened."""
    _LOGGER.info(name, extra={"fields": fields})


def warning(name: str, **fields: object) -> None:
    """Say that something deserves a look."""
    _LOGGER.warning(name, extra={"fields": fields})


def error(sentence: str, **fields: object) -> None:
    """Say the one sentence that explains why the process ends."""
    _LOGGER.error(sentence, extra={"fields": fields})


def relay(line: str) -> None:
    """Pass on a line of another process's log: a JSON line as JSON, on a terminal as a person reads it."""
    text = _as_person(line) if sys.stderr.isatty() else printable(line)
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # as in _LineHandler
        return


@contextmanager
def progress(description: str, total: float) -> Iterator[Meter]:
    """Progress of work of `total` units: a bar with ETA on a terminal; else a JSON line every 10 % or 30 s."""
    if not sys.stderr.isatty():
        yield _LineMeter(description, total)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(printable(description), total=total, note="")
        yield _BarMeter(bar, task)


def printable(text: str) -> str:
    """`text` as one line for a terminal: what is not visible is shown as its code and never obeyed.

    That is escape sequences, line ends (so that no text forges a line), marks that turn the direction of writing, and
    characters without width. Every text that was not written here passes through it, rows, records, logs of pods and
    messages of servers. JSON stays JSON.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_visible(c) else _escaped(c) for c in text)


def cell(text: str) -> Text:
    """`printable` text for a rich table or line: markup in it stays text."""
    return Text(printable(text))


def to_json(value: object, indent: int | None = None) -> str:
    """JSON for programs that is safe to look at: characters that are not visible are JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False, default=str, indent=indent)
    return (
        text
        if text.isascii()
        else "".join(c if _is_visible(c) or c == "\n" else _u(c) for c in text)
    )


_BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def _is_visible(c: str) -> bool:
    return c == "\t" or (
        c.isprintable() and c not in _BLANK_LETTERS and not "\U000e0000" <= c <= "\U000e0fff"
    )


def _escaped(c: str) -> str:
    return {"\n": "\\n", "\r": "\\r"}.get(c) or (f"\\x{ord(c):02x}" if c < " " else _u(c))


def _u(c: str) -> str:
    number = ord(c)
    if number < 0x10000:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


class _BarMeter:
    def __init__(self, bar: Progress, task: object) -> None:
        self._bar, self._task = bar, task

    def advance(self, n: float = 1, **fields: object) -> None:
        note = printable(_pairs(fields))
        self._bar.update(self._task, advance=n, **({"note": note} if note else {}))  # type: ignore[arg-type]


class _LineMeter:
    def __init__(self, description: str, total: float) -> None:
        self._description, self._total = description, total
        self._done = self._said = 0.0
        self._start = self._last = time.monotonic()

    def advance(self, n: float = 1, **fields: object) -> None:
        self._done += n
        now = time.monotonic()
        step = self._total * _HEARTBEAT_SHARE
        due = self._done - self._said >= step or now - self._last >= _HEARTBEAT_SECONDS
        if not due and self._done < self._total:
            return
        self._said, self._last = self._done, now
        rate = self._done / max(now - self._start, 1e-9)
        eta = max(self._total - self._done, 0) / rate if rate else 0.0
        event(
            "progress",
            what=self._description,
            done=self._done,
            total=self._total,
            eta_seconds=round(eta, 1),
            **fields,
        )


class _LineHandler(logging.Handler):
    """One write per line, to whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # a closed or broken stderr must not end the work
            return


class _JsonFormatter(logging.Formatter):
    def __init__(self, identity: dict[str, str]) -> None:
        super().__init__()
        self._identity = identity

    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"ts": stamp, "level": record.levelname.lower(), **self._identity}
        line["event"] = record.getMessage()
        return to_json({**line, **getattr(record, "fields", {})})


class _PersonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = {"ERROR": "✗ ", "WARNING": "! "}.get(record.levelname, "")
        pairs = _pairs(getattr(record, "fields", {}))
        return printable(f"{mark}{record.getMessage()}  {pairs}".rstrip())


def _as_person(line: str) -> str:
    try:
        said = json.loads(line)
        event = said.pop("event")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return printable(line)
    fields = {name: value for name, value in said.items() if name not in ("ts", "level", "run")}
    stage = fields.pop("stage", "")
    return printable(f"{stage}: {event}  {_pairs(fields)}".strip(": "))


def _pairs(fields: dict[str, object]) -> str:
    return "  ".join(f"{key}={_short(value)}" for key, value in fields.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
