"""Known vulnerabilities of what is in the images: `python -m images.cves`, from SBOMs and OSV archives, offline.

It prints them by severity, worst first, and what the policy accepts, then says how new the archives are and what nobody
looked at.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fingpt import log
from fingpt.config import local_path
from fingpt.errors import ConfigError, DataError, MissingInputError
from fingpt.runs.stage import guarded
from images.matching import Target, Vulnerability, read_targets, search, sort_out
from images.policy import Ignored, read_policy

ROOT = Path(__file__).resolve().parent.parent


def main(
    archives: Annotated[
        str,
        typer.Option(
            "--osv", envvar="FINGPT_ARG_OSV", help="an all.zip of osv.dev, or a folder of them"
        ),
    ] = "",
    sboms: Annotated[
        list[Path] | None, typer.Argument(help="SBOMs; default: build/sbom/*.cdx.json")
    ] = None,
) -> None:
    """Print known vulnerabilities by severity; 65 when one is as bad as images/policy.toml forbids."""
    log.setup()
    sys.exit(guarded(lambda: _scan(archives, sboms)))


def _scan(archives: str, sboms: list[Path] | None) -> None:
    policy = read_policy(ROOT / "images" / "policy.toml")
    paths = sorted(sboms or (ROOT / "build" / "sbom").glob("*.cdx.json"))
    if not paths:
        raise MissingInputError("There is no SBOM under build/sbom: make images, then make sbom.")
    wanted: dict[Target, tuple[str, ...]] = defaultdict(tuple)
    uncovered: set[str] = set()
    for path in paths:
        image, targets = read_targets(path, uncovered)
        typer.echo(log.printable(f"{image}: {len(targets)} components"))
        for target in targets:
            wanted[target] += (image.partition(":")[0].removeprefix("fingpt-"),)
    found, seen = search(wanted, find_archives(archives))
    shown = [replace(each, images=wanted[each.target]) for each in found]
    today = datetime.now(UTC).date()
    stand, ignored = sort_out(shown, policy.cves.ignore, today)
    _print(stand, ignored, policy.cves.ignore, today)
    for name, newest in sorted(seen.items()):
        typer.echo(log.printable(f"{name}: records until {newest[:10]}"))
    typer.echo(log.printable(f"Not covered by OSV: {', '.join(sorted(uncovered)) or 'nothing'}"))
    if unread := {target.ecosystem for target in wanted} - set(seen):
        raise MissingInputError(
            f"No archive has a record of {', '.join(sorted(unread))}, so nothing is known of that part: lay its "
            "all.zip into the folder that OSV names."
        )
    worst = policy.cves.fail_at
    if bad := [one for one in stand if one.severity >= worst or not one.severity or one.undecided]:
        raise DataError(
            f"{len(bad)} known vulnerabilities are rated {worst.name.lower()} or worse, or not rated, or undecided: "
            "take versions that mend them (make lock, a newer base), or accept them in images/policy.toml."
        )


def find_archives(text: str) -> list[Path]:
    """The archive that OSV names, or all of a folder; an error in one sentence where there is none."""
    if not text.strip():
        raise ConfigError(
            "OSV is empty: name an all.zip that osv.dev publishes, or a folder with several of them."
        )
    path = local_path(text)
    found = sorted(path.rglob("*.zip")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise MissingInputError(f"{path} is neither an all.zip of osv.dev nor a folder with one.")
    return found


def _print(
    stand: list[Vulnerability],
    ignored: list[Vulnerability],
    accepted: Iterable[Ignored],
    today: date,
) -> None:
    table = Table("severity", "id", "component", "fixed in", "images", "what", show_edge=False)
    for one in stand:
        severity = one.severity.name.lower() + (
            ", versions cannot be compared" if one.undecided else ""
        )
        words = (
            severity,
            one.id,
            one.target.shown,
            ", ".join(one.fixed) or "-",
            " ".join(one.images),
            one.summary[:80],
        )
        table.add_row(*(log.cell(word) for word in words))
    if stand:
        Console().print(table)
    for one in ignored:
        typer.echo(log.printable(f"accepted in images/policy.toml: {one.id} in {one.target.shown}"))
    used = {name for one in ignored for name in one.names}
    for entry in accepted:
        if entry.until < today:
            typer.echo(
                log.printable(
                    f"no longer accepted, since {entry.until} is past: {entry.id} in {entry.package}"
                )
            )
        elif entry.id not in used:
            typer.echo(
                log.printable(
                    f"accepted, but in no image: {entry.id} in {entry.package}; take the entry out"
                )
            )


if __name__ == "__main__":
    typer.run(main)
