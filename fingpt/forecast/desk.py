"""What requests are made from: DATA (a folder of files) or SOURCES (a file of settings), opened once.

Only who makes requests needs it, and with it the extra `sources`; who answers them reads the store alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fingpt.config import argument, local_path
from fingpt.errors import ConfigError, MissingInputError
from fingpt.features.config import FeatureConfig, parse_features
from fingpt.forecast.record import ForecastRequest
from fingpt.forecast.request import chosen_close, make_request
from fingpt.forecast.view import Known, Sessions
from fingpt.reading import Unreadable, parse_yaml
from fingpt.sources.files import open_files


@dataclass(frozen=True)
class Desk:
    """An exchange, and what could be known at its closes."""

    exchange: Sessions
    known: Known

    def close(self, now: datetime) -> datetime:
        """The close that DATE means."""
        return chosen_close(argument("DATE"), self.exchange, now)

    def request(self, symbols: Sequence[str], as_of: datetime) -> ForecastRequest:
        """The request for `symbols` at the close `as_of`."""
        return make_request(self.known, self.exchange, symbols, as_of)


def open_desk() -> Desk:
    """Open what DATA and SOURCES name; ConfigError when neither does."""
    data, sources = argument("DATA").strip(), argument("SOURCES").strip()
    if not data:
        raise ConfigError(
            "No data are named; DATA=folder names prices, news and more as files: make forecast RUN=id SYMBOL=AAPL "
            "DATE=2026-11-20 DATA=folder."
        )
    config = _features(sources) if sources else FeatureConfig()
    return Desk(Sessions(config), Known(open_files(data), config))


def _features(name: str) -> FeatureConfig:
    """The section `features` of a file of settings."""
    path = local_path(name)
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingInputError(f"SOURCES={name} is no file.") from None
    except (Unreadable, UnicodeDecodeError) as fault:
        raise ConfigError(f"SOURCES={name} {fault}; write plain settings in YAML.") from None
    if not isinstance(settings, dict):
        raise ConfigError(
            f"SOURCES={name} must hold settings, such as 'features:' with news: false below."
        )
    return parse_features(settings.get("features") or {}, f"SOURCES={name}")
