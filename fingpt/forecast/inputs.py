"""What requests are made from: DATA (a folder of files) or SOURCES (a file of settings), as rows are built from them.

Only who makes requests needs it, and with it the extra `sources`; who answers them reads the store alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fingpt.config import argument
from fingpt.features.config import FeatureConfig, parse_features
from fingpt.features.facts import kinds_of
from fingpt.forecast.record import ForecastRequest
from fingpt.forecast.request import chosen_close, make_request
from fingpt.forecast.view import Known, Sessions
from fingpt.sources.fetching import Wanted
from fingpt.sources.live.catalogue import LIVE
from fingpt.sources.opening import Opener
from fingpt.sources.selection import Selection, load_selection
from fingpt.storage import ObjectStore

LOOK_BACK = timedelta(days=380)
"""How far before a close data are asked for: a year of closes for the indicators."""


@dataclass(frozen=True)
class ForecastInputs:
    """An exchange, and what could be known at its closes."""

    store: ObjectStore
    selection: Selection
    config: FeatureConfig

    @property
    def exchange(self) -> Sessions:
        """When the exchange of the configuration trades."""
        return Sessions(self.config)

    def close(self, now: datetime) -> datetime:
        """The close that DATE means."""
        return chosen_close(argument("DATE"), self.exchange, now)

    def request(self, symbols: Sequence[str], as_of: datetime) -> ForecastRequest:
        """The request for `symbols` at the close `as_of`; what its sources lack is fetched into the store first."""
        wanted = Wanted(
            kinds_of(self.config), tuple(symbols), (as_of - LOOK_BACK).date(), as_of.date()
        )
        snapshot = Opener(self.store, LIVE).open(self.selection, wanted)
        return make_request(Known(snapshot, self.config), self.exchange, symbols, as_of)


def open_inputs(store: ObjectStore) -> ForecastInputs:
    """What DATA and SOURCES name; ConfigError when neither names anything."""
    selection = load_selection(argument("SOURCES"), argument("DATA"))
    config = parse_features(selection.features, selection.where)
    if selection.allow_missing:
        config = config.model_copy(update={"allow_degraded": True})
    return ForecastInputs(store, selection, config)
