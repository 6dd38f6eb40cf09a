"""Making the page: read the ledger, compose, render, and write it to a folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from fingpt import log
from fingpt.ledger.book import read_book
from fingpt.ledger.chains import Ledger
from fingpt.ledger.compose import compose
from fingpt.ledger.render import render


def make_page(ledger: Ledger, now: datetime, out: Path | None = None, notice: str = "") -> Path:
    """Write ledger.html, ledger.md and ledger.json to `out` (default `./reports/ledger-<name>`); the path of the page.
    `notice` stands above all else on it.

    The page is not kept in the bucket: it follows from the entries and scores there, and can be made again at any time.
    Raises StorageError on a broken chain, and what the store raises.
    """
    page = compose(read_book(ledger), now, notice)
    for number, sentence in enumerate(page.headline):
        told = sentence.verdict.label or ("" if number else sentence.text)
        if told:
            log.event(f"{sentence.question} {told}")
    folder = out or Path.cwd() / "reports" / f"ledger-{ledger.name}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in render(page).items():
        (folder / name).write_bytes(data)
    return folder / "ledger.html"
