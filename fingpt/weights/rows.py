"""Rows from the hub into the store, once: a revision is resolved to its commit, its files are frozen under `raw/`.

Which rows a name means is recorded by the first mirror and never changes; newer ones have a commit of their own. Stages
and submit read the record alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from fingpt import log
from fingpt.errors import DataError
from fingpt.record import FileRef
from fingpt.runs.freeze import gather_names
from fingpt.runs.manifest import encode
from fingpt.runs.raw import (
    HubRows,
    hub_key,
    parse_hub,
    read_hub_rows,
    split_revision,
    store_raw,
    stored_hub_rows,
)
from fingpt.storage import ObjectStore, check_key
from fingpt.weights.hub import DataSet, Hub


def mirror_rows(store: ObjectStore, source: str, hub: Hub) -> HubRows:
    """Bring the rows of `hub:owner/name@revision`, or of a folder of it, into `store`, unless they are there.

    Raises ConfigError when `source` is no such name, what `gather_names` raises for its files, and what Hub and
    ObjectStore raise.
    """
    name, wanted = parse_hub(source)
    revision, folder = split_revision(wanted)
    below = f"{folder}/" if folder else ""
    known = read_hub_rows(store, source)
    if known is not None and stored_hub_rows(store, source):
        log.event("rows already in the store", **_what(source, known))
        return known
    commit, listing = hub.resolve(DataSet(name, known.commit if known else revision))
    at_commit = DataSet(name, commit)
    where = f"hub:{name}@{commit}{folder and f'/{folder}'}"
    refs: dict[str, FileRef] = {}
    with (
        tempfile.TemporaryDirectory(prefix="fingpt-mirror-") as scratch,
        log.progress(
            f"mirror rows of {name}", sum(file.size for file in listing.values())
        ) as meter,
    ):

        def fetch(inside: str) -> Path:
            path = f"{below}{inside}"
            file = listing[path]
            if path not in refs:
                sha256 = hub.download(at_commit, file, Path(scratch), meter)
                refs[path] = FileRef(name=path, size=file.size, sha256=sha256)
            return Path(scratch) / path

        names = (check_key(path) for path in listing if path.startswith(below))
        gathered = gather_names((name.removeprefix(below) for name in names), fetch, where)
        raw = store_raw(store, gathered.files)
    files = tuple(refs[f"{below}{inside}"] for _, inside in gathered.layout.frozen_names())
    rows = HubRows(source=where, commit=commit, raw=raw, files=files)
    store.create(hub_key(*parse_hub(where)), encode(rows))
    return _record(store, source, rows.model_copy(update={"source": f"hub:{name}@{wanted}"}))


def _record(store: ObjectStore, source: str, rows: HubRows) -> HubRows:
    """The record of `source`: this one, or that of a mirror that was faster, whose commit counts."""
    store.create(hub_key(*parse_hub(source)), encode(rows))
    recorded = stored_hub_rows(store, source)
    if recorded is None:
        raise DataError(
            f"{source} was recorded by another mirror whose rows are gone; run the same command again."
        )
    log.event("rows stored", **_what(source, recorded))
    return recorded


def _what(source: str, rows: HubRows) -> dict[str, str]:
    """What a person needs to have these very rows again, in any store."""
    return {
        "source": source,
        "commit": rows.commit,
        "frozen": rows.raw,
        "pin": f"DATA={rows.pinned}",
    }
