"""Folders of files for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

PRICES = """symbol,date,open,high,low,close,volume
AAPL,2025-01-02,100,101,99,100.5,1000
AAPL,2025-01-03,100.5,103,100,102,1200
AAPL,2025-01-06,102,102.5,101,101.5,900
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder of files with good prices; `write(news_csv="…")` adds or replaces files."""

    def write_folder(**files: str) -> Path:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for name, text in {"prices_csv": PRICES, **files}.items():
            path = folder / name.replace("_", ".")
            path.write_text(text, encoding="utf-8")
        return folder

    return write_folder
