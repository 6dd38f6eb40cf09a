"""The page in its folder: it says when its ledger does not verify, and leaves another ledger's page alone."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from fingpt.errors import StorageError
from fingpt.ledger.keys import score_key
from fingpt.ledger.page import make_page
from fingpt.ledger.score import score
from fingpt.storage import open_store
from tests.ledger.invented import CHAIN, TableMarket, soon, three_weeks


def test_a_page_of_a_ledger_that_does_not_verify_says_so(store, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    ledger = three_weeks(store)
    score(ledger, TableMarket(), soon(2))
    page = make_page(ledger, soon(2), tmp_path / "out", "Invented.").with_suffix(".json")
    assert json.loads(page.read_bytes())["notice"] == "Invented."
    assert caplog.records == []
    key = score_key("test", CHAIN, 1, 1)
    path = tmp_path / "store" / key
    fields = json.loads(path.read_bytes())
    path.write_bytes(json.dumps(fields).encode())
    with pytest.raises(StorageError, match="was changed"):
        make_page(ledger, soon(2), tmp_path / "none")
    path.unlink()
    make_page(ledger, soon(2), tmp_path / "out", "Invented.")
    notice = json.loads(page.read_bytes())["notice"]
    assert notice.startswith(
        "Invented. This ledger does not verify: 1 object is damaged or missing"
    )
    assert key in notice
    assert "make verify LEDGER=test shows all" in notice
    assert [record.message for record in caplog.records] == [notice.removeprefix("Invented. ")]
    assert "This ledger does not verify" in page.with_suffix(".html").read_text("utf-8")


def test_ledgers_of_one_name_in_two_stores_have_a_page_each(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = three_weeks(store)
    second = three_weeks(open_store((tmp_path / "other").as_uri()), symbols=("AAPL",))
    one = make_page(first, soon(2))
    before = one.read_bytes()
    two = make_page(second, soon(2))
    assert one == Path.cwd() / "reports" / "ledger-test" / "ledger.html"
    assert two.parent.name == f"ledger-test-{second.sha256[:8]}"
    assert one.read_bytes() == before
    assert (make_page(first, soon(2)), make_page(second, soon(2))) == (one, two)
