"""OSV records from the archives that osv.dev publishes (all.zip, one per ecosystem), and which versions they concern.

https://ossf.github.io/osv-schema/ defines a record. Ranges of commits (type GIT) are passed over: an installed package
has a version, not a commit.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError
from debian.debian_support import NativeVersion
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fingpt.errors import DataError
from images.policy import Severity

# Debian's archive holds some 60,000 records of a few kilobytes; one that lists each version of a kernel has megabytes.
_RECORD_BYTES = 16 << 20
_ARCHIVE_BYTES = 16 << 30

_WORDS = {"MODERATE": Severity.MEDIUM, **{each.name: each for each in Severity if each}}


@dataclass(frozen=True)
class Advisory:
    """What one record says of one package.

    `names` are the record's id and its aliases, all of one vulnerability. `upstream` are those of others that a
    distribution's notice repairs together.
    """

    id: str
    names: frozenset[str]
    upstream: frozenset[str]
    summary: str
    severity: Severity
    ecosystem: str
    package: str
    versions: tuple[str, ...]
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    modified: str

    @property
    def fixed(self) -> tuple[str, ...]:
        """Versions that have a remedy, as the record names them."""
        return tuple(
            version for events in self.ranges for kind, version in events if kind == "fixed"
        )


class Incomparable(ValueError):
    """A version that its ecosystem's rules cannot put into an order."""


def read_archive(path: Path) -> Iterator[Advisory]:
    """Every advisory of an archive; DataError for one that is torn or foreign, so that it never counts as clean."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".json")]
            if not members:
                raise DataError(
                    f"{path} holds no record: expected an all.zip as osv.dev publishes it."
                )
            # What is read of a member ends at the size that is declared here.
            if sum(each.file_size for each in members) > _ARCHIVE_BYTES:
                raise DataError(
                    f"{path} unpacks to more than {_ARCHIVE_BYTES} bytes: no archive of osv.dev does."
                )
            for member in members:
                with archive.open(member) as content:
                    data = content.read(_RECORD_BYTES + 1)
                yield from parse_record(data, f"{member.filename} in {path}")
    # What zipfile raises, in this order, for an archive that is none, damaged, cut off, packed in a way that it does
    # not know, or encrypted (it has no class for that).
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as fault:
        raise DataError(f"{path} cannot be read whole, fetch it anew: {fault}") from None


def parse_record(data: bytes, where: str) -> Iterator[Advisory]:
    """One record's advisories, one for each package; none where it was withdrawn. DataError where it is no record."""
    if len(data) > _RECORD_BYTES:
        raise DataError(f"{where} is larger than {_RECORD_BYTES} bytes: no record of OSV is.")
    try:
        record = json.loads(data)
        if record.get("withdrawn"):
            return
        upstream = frozenset(str(name) for name in record.get("upstream") or ())
        names = frozenset(str(name) for name in (record["id"], *(record.get("aliases") or ())))
        if len(upstream) == 1:  # Debian's own record of one CVE
            names |= upstream
        general = _severity(record)
        for affected in record.get("affected") or ():
            if not (package := affected.get("package")):
                continue  # commits of a repository, which is no package
            yield Advisory(
                id=str(record["id"]),
                names=names,
                upstream=upstream,
                summary=str(record.get("summary") or record.get("details") or "")[:200],
                severity=_of_package(affected, general),
                ecosystem=str(package["ecosystem"]),
                package=str(package["name"]),
                versions=tuple(str(version) for version in affected.get("versions") or ()),
                ranges=tuple(
                    _events(each) for each in affected.get("ranges") or () if each["type"] != "GIT"
                ),
                modified=str(record.get("modified") or ""),
            )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(
            f"{where} is no record of OSV: {type(fault).__name__} {str(fault)[:200]}"
        ) from None


def _events(span: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (str(kind), str(version)) for event in span["events"] for kind, version in event.items()
    )


def _of_package(affected: dict[str, Any], general: Severity) -> Severity:
    """The package's own rating before the record's; what Debian calls unimportant is low."""
    if (affected.get("ecosystem_specific") or {}).get("urgency") == "unimportant":
        return Severity.LOW
    return _severity(affected) or general


def _severity(part: dict[str, Any]) -> Severity:
    """The worst rating that a record or one of its packages gives, from CVSS vectors, else from the database's word."""
    rated = [_rating(str(each.get("score"))) for each in part.get("severity") or ()]
    word = (part.get("database_specific") or {}).get("severity")
    return max(rated, default=Severity.UNKNOWN) or _WORDS.get(str(word).upper(), Severity.UNKNOWN)


def _rating(vector: str) -> Severity:
    try:
        if vector.startswith("CVSS:4"):
            word = CVSS4(vector).severity
        else:
            scored = CVSS3(vector) if vector.startswith("CVSS:3") else CVSS2(vector)
            word = scored.severities()[0]
    except CVSSError:
        return _WORDS.get(vector.upper(), Severity.UNKNOWN)
    # A score of 0 is rated "None", which is less than low; it is shown as low and fails nothing.
    return _WORDS.get(word.upper(), Severity.LOW)


# One version stands in thousands of records, and to parse it is what a scan takes time for.
@lru_cache(maxsize=1 << 18)
def python_key(version: str) -> Version:
    """PEP 440's order without the local part: advisories know 2.13.0, of which 2.13.0+cpu is a build."""
    try:
        return Version(Version(version).public)
    except InvalidVersion:
        raise Incomparable(f"{version} is no version of PEP 440") from None


@lru_cache(maxsize=1 << 18)
def debian_key(version: str) -> NativeVersion:
    """The order of dpkg."""
    try:
        return NativeVersion(version)
    except ValueError:
        raise Incomparable(f"{version} is no version of Debian") from None


# What a component's ecosystem is compared by; Debian's name has the release: Debian:12.
KEYS: dict[str, Callable[[str], Any]] = {"PyPI": python_key, "Debian": debian_key}


def concerns(advisory: Advisory, version: str) -> bool:
    """Whether the version is affected, by the algorithm of the schema; Incomparable where that cannot be decided.

    Listed versions count beside ranges. In a range, events are taken in the order of their versions.
    """
    key = KEYS[advisory.ecosystem.partition(":")[0]]
    if version in advisory.versions:
        return True
    own = key(version)
    if any(_same(each, own, key) for each in advisory.versions):
        return True
    return any(_within(events, own, key) for events in advisory.ranges)


def _same(version: str, own: Any, key: Callable[[str], Any]) -> bool:
    try:
        return bool(key(version) == own)
    except Incomparable:
        return False  # a name that never was a version of ours


def _within(events: tuple[tuple[str, str], ...], own: Any, key: Callable[[str], Any]) -> bool:
    limits = [version for kind, version in events if kind == "limit" and version != "*"]
    if limits and not any(own < key(limit) for limit in limits):
        return False
    # "0" comes before every version.
    turns = [
        (version != "0", version if version == "0" else key(version), kind)
        for kind, version in events
        if kind in ("introduced", "fixed", "last_affected")
    ]
    first = [kind for known, _, kind in turns if not known]
    affected = "introduced" in first
    for _, at, kind in sorted((turn for turn in turns if turn[0]), key=lambda turn: turn[1]):
        if kind == "introduced" and own >= at:
            affected = True
        elif (kind == "fixed" and own >= at) or (kind == "last_affected" and own > at):
            affected = False
    return affected


def same_package(ecosystem: str, name: str) -> tuple[str, str]:
    """How a package is looked up: PyPI's names are one whatever their case, dots and dashes."""
    return ecosystem, canonicalize_name(name) if ecosystem == "PyPI" else name
