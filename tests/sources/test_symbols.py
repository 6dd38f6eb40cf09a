from __future__ import annotations

import pytest

from fingpt.errors import ConfigError
from fingpt.sources.symbols import checked_symbols


def test_a_key_in_the_store_can_be_made_of_every_symbol() -> None:
    assert checked_symbols(["^GSPC", "BRK-B", "7203.T"], "SYMBOLS") == ["^GSPC", "BRK-B", "7203.T"]
    for bad in ("A/B", ".", "..", "a b", "", "é"):
        with pytest.raises(ConfigError, match="is no symbol"):
            checked_symbols([bad], "SYMBOLS")
