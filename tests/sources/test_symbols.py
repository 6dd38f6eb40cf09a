from __future__ import annotations

import pytest

from fingpt.errors import ConfigError
from fingpt.sources.symbols import checked_symbols, no_prices


def test_a_key_in_the_store_can_be_made_of_every_symbol() -> None:
    assert checked_symbols(["^GSPC", "BRK-B", "7203.T"], "SYMBOLS") == ["^GSPC", "BRK-B", "7203.T"]
    for bad in ("A/B", ".", "..", "a b", "", "é"):
        with pytest.raises(ConfigError, match="is no symbol"):
            checked_symbols([bad], "SYMBOLS")


def test_a_symbol_with_a_market_behind_it_in_the_data_is_told_to_be_the_same() -> None:
    said = str(no_prices(["AAPL", "MSFR"], ["AAPL.US", "MSFT"]))
    assert "AAPL (the data call it AAPL.US: rename it there to AAPL, or ask for AAPL.US)" in said
    assert "MSFR (did you mean MSFT?)" in said
    assert "the data call" not in str(no_prices(["BRK"], ["BRK.B"]))
