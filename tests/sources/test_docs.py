from __future__ import annotations

from pathlib import Path

import pytest

from fingpt.sources.policy import Use
from fingpt.sources.records import Kind
from fingpt.sources.schema import TABLES, Table

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")
BLOCK = PAGE.split("<!-- tables:")[1].split("<!-- end of tables -->")[0]


def printed(table: Table) -> str:
    rows = [
        f"| `{column.name}` | {'' if column.required else 'optional '}| {column.meaning} |"
        for column in table.columns
        if column.name != "available_at"
    ]
    return "\n".join(
        [f"**{table.name}**: {table.meaning}.", "", "| column | | |", "|---|---|---|", *rows]
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_page_prints_every_column_as_the_schema_has_it(table: Table) -> None:
    assert printed(table) in BLOCK


def test_the_page_prints_no_other_table() -> None:
    assert BLOCK.count("| column |") == len(TABLES)


def test_the_page_names_every_kind_and_every_use() -> None:
    assert [one for one in (*Kind, *Use) if f"`{one}`" not in PAGE] == []
