"""Making the page: read the ledger, compose, render, and write it to a folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from fingpt import log
from fingpt.ledger.book import read_book
from fingpt.ledger.chains import Ledger
from fingpt.ledger.compose import compose
from fingpt.ledger.render import render
from fingpt.ledger.verify import verify_ledger
from fingpt.reading import DATA_BYTES, Unreadable, parse_object
from fingpt.runs.links import LinkStatus


def make_page(ledger: Ledger, now: datetime, out: Path | None = None, notice: str = "") -> Path:
    """Write ledger.html, ledger.md and ledger.json to `out`; the path of the page. `notice` stands above all else.

    Without `out` that is `./reports/ledger-<name>`, or `…-<start of its genesis' sha256>` where the page of another
    ledger of that name lies there. Where the ledger does not verify, page and log say so.

    The page is not kept in the bucket: it follows from the entries and scores there, and can be made again at any time.
    Raises StorageError on a broken chain, and what the store raises.
    """
    book = read_book(ledger)
    if warning := _warning(ledger, now):
        log.warning(warning)
        notice = f"{notice} {warning}".strip()
    page = compose(book, now, notice)
    for number, sentence in enumerate(page.headline):
        told = sentence.verdict.label or ("" if number else sentence.text)
        if told:
            log.event(f"{sentence.question} {told}")
    folder = out or _own_folder(Path.cwd() / "reports" / f"ledger-{ledger.name}", ledger.sha256)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in render(page).items():
        (folder / name).write_bytes(data)
    return folder / "ledger.html"


def _warning(ledger: Ledger, now: datetime) -> str:
    """What is said of a ledger that does not verify, returns computed anew left aside; empty of a sound one."""
    links = verify_ledger(ledger.store, ledger.name, now=now, anew=False)
    wrong = [link for link in links if link.status in (LinkStatus.DAMAGED, LinkStatus.MISSING)]
    if not wrong:
        return ""
    many = f"{len(wrong)} objects are" if len(wrong) > 1 else "1 object is"
    return (
        f"This ledger does not verify: {many} damaged or missing, the first is {wrong[0].key}; "
        f"make verify LEDGER={ledger.name} shows all, and figures below may rest on what was changed."
    )


def _own_folder(folder: Path, sha256: str) -> Path:
    """`folder`, or one beside it where it holds the page of another ledger: two stores may have one name each."""
    try:
        there = parse_object((folder / "ledger.json").read_bytes(), DATA_BYTES)
    except (OSError, Unreadable):
        return folder
    if there.get("genesis_sha256", sha256) == sha256:
        return folder
    own = folder.with_name(f"{folder.name}-{sha256[:8]}")
    log.event(f"{folder} holds the page of another ledger of that name, so this one is in {own}")
    return own
