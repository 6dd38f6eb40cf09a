"""The live sources by name, and one of them from its settings, as a file of sources has them.

Opening a source asks nobody and needs no key: what was fetched before is read without either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import NamedTuple

from pydantic import BaseModel, JsonValue, ValidationError

from fingpt.errors import ConfigError, nearest
from fingpt.reading import first_fault
from fingpt.sources.live.rate_limit import Clock
from fingpt.sources.protocol import Source


class _Entry(NamedTuple):
    module: str
    kind: str
    needs: str = ""


# Modules are imported when they are used: edgartools and yfinance take seconds, and yfinance is in no image.
_SOURCES = {
    "alfred": _Entry(
        "alfred",
        "Alfred",
        "accept_terms: true (FRED's terms bar storing its data and training models with it)",
    ),
    "bls": _Entry("bls", "Bls"),
    "edgar": _Entry(
        "edgar", "Edgar", "contact: a mail address, which the SEC asks of every program"
    ),
    "finnhub": _Entry("finnhub", "Finnhub"),
    "signals": _Entry("signals", "Signals", "signal, address, path, day, value and terms"),
    "tiingo": _Entry("tiingo", "Tiingo"),
    "treasury": _Entry("treasury", "Treasury"),
    "yahoo": _Entry(
        "yahoo",
        "Yahoo",
        "accept_terms: true (Yahoo allows personal use only, and bars automated access)",
    ),
}


def open_live(name: str, settings: Mapping[str, JsonValue], clock: Clock | None = None) -> Source:
    """The source `name` with these settings; ConfigError naming what is wrong or lacking in them."""
    entry = _SOURCES.get(name)
    if entry is None:
        raise ConfigError(f"There is no live source '{name[:40]}'; {nearest(name, _SOURCES)}")
    module = import_module(f"fingpt.sources.live.{entry.module}")
    shape: type[BaseModel] = getattr(module, f"{entry.kind}Settings")
    make: Callable[[BaseModel, Clock | None], Source] = getattr(module, entry.kind)
    unknown = sorted(set(settings) - set(shape.model_fields))
    if unknown:
        raise ConfigError(
            f"The source {name} has no setting '{unknown[0][:40]}'; {nearest(unknown[0], shape.model_fields)}"
        )
    try:
        return make(shape.model_validate(dict(settings)), clock)
    except ValidationError as fault:
        needs = f"; it needs {entry.needs}" if entry.needs else ""
        raise ConfigError(
            f"The settings of the source {name} are not right ({first_fault(fault)}){needs}."
        ) from None


LIVE: Mapping[str, Callable[[Mapping[str, JsonValue]], Source]] = {
    name: partial(open_live, name) for name in _SOURCES
}
"""All of them, for an Opener (opening.py)."""
