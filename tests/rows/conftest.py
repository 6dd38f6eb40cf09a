"""The invented rows of prep's tests."""

from tests.prep.conftest import drop, row, write_parquet

__all__ = ["drop", "row", "write_parquet"]
