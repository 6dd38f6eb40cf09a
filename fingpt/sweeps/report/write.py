"""Report on sweeps: read their records, compose and render the page, store it, and write a copy to a local folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fingpt import log
from fingpt.errors import ConfigError
from fingpt.runs.manifest import ReportManifest, encode
from fingpt.runs.run import report_prefix
from fingpt.storage import ObjectStore, put
from fingpt.storage.files import translate_os_errors
from fingpt.sweeps.claim import who_works
from fingpt.sweeps.records import complete_key
from fingpt.sweeps.report.reading import read_sweeps


def sweep_report(store: ObjectStore, sweep_ids: Sequence[str], out: Path | None = None) -> Path:
    """Write the report on the named sweeps, over or not, and return the path of sweep.html.

    Files go to `reports/<id>/` in the store, manifest last, and to the folder `out` (default `./reports/<id>`). The id
    is a hash of the content: the same state of a sweep finds the same report. ConfigError when no sweep is named, or
    one twice; errors else as `reading.read_sweeps`.
    """
    if not sweep_ids:
        raise ConfigError(
            'SWEEP names no sweep; the line of make sweep that says "sweep created" names it: make sweep-report '
            "SWEEP=lora-grid-0a1b2c3d."
        )
    if len(set(sweep_ids)) != len(sweep_ids):
        raise ConfigError(
            'A sweep is named twice; name different ones, such as SWEEP="sweep-a sweep-b".'
        )
    log.event("sweep-report", sweeps=" ".join(sweep_ids))
    reading = read_sweeps(store, sweep_ids)
    # These load for seconds what draws and counts, so a record that is torn is found before.
    from fingpt.sweeps.report.compose import compose
    from fingpt.sweeps.report.render import render, report_id

    report = compose(reading)
    if report.running:
        log.warning(
            "A sweep is not over, so nothing in its report is final.", **_at_work(store, sweep_ids)
        )
    rendered = render(report)
    name = report_id(rendered)
    log.event(report.title)
    prefix = report_prefix(name)
    files = tuple(put(store, f"{prefix}/{file}", data) for file, data in sorted(rendered.items()))
    runs = tuple(dict.fromkeys(reading.runs))
    manifest = ReportManifest(id=name, runs=runs, inputs=report.inputs, files=files)
    put(store, f"{prefix}/manifest.json", encode(manifest))
    folder = out or Path.cwd() / "reports" / name
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in rendered.items():
            (folder / file).write_bytes(data)
    return folder / "sweep.html"


def _at_work(store: ObjectStore, sweep_ids: Sequence[str]) -> dict[str, str]:
    """Who works on each of the sweeps that are not over, for the log: the page is the same whenever it is made."""
    now = datetime.now(UTC)
    return {
        each: who_works(store, each, now)[1]
        for each in sweep_ids
        if not store.exists(complete_key(each))
    }
