"""Which known vulnerabilities concern which component: SBOMs against OSV's advisories.

Debian's packages are looked up by source package and release, Python's distributions by name. What else an SBOM names,
such as the CPython that a base image built itself, has no ecosystem in OSV.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from packageurl import PackageURL

from fingpt.errors import DataError
from images.osv import Advisory, Incomparable, concerns, read_archive, same_package
from images.policy import Ignored, Severity

_SBOM_BYTES = 64 << 20

# An advisory on a component, and whether that was decided: versions may not be comparable.
Hit = tuple[Advisory, bool]


@dataclass(frozen=True, order=True)
class Target:
    """A component as OSV knows it; `shown` is what a reader sees."""

    ecosystem: str
    name: str
    version: str
    shown: str


@dataclass(frozen=True)
class Vulnerability:
    """Advisories that are aliases of one another, on one component, in some images."""

    target: Target
    names: frozenset[str]
    severity: Severity
    fixed: tuple[str, ...]
    summary: str
    images: tuple[str, ...] = ()
    undecided: bool = False

    @property
    def id(self) -> str:
        """The CVE number where there is one, else the first of its names."""
        return min(self.names, key=lambda name: (not name.startswith("CVE-"), name))


def read_targets(path: Path, uncovered: set[str]) -> tuple[str, list[Target]]:
    """The image of an SBOM of ours, and what in it OSV can know; `uncovered` gets the rest. DataError if it is none."""
    try:
        if path.stat().st_size > _SBOM_BYTES:
            raise DataError(
                f"{path} is larger than {_SBOM_BYTES} bytes: no SBOM of an image of ours is."
            )
        bom = json.loads(path.read_bytes())
        image = "{name}:{version}".format(**bom["metadata"]["component"]).rpartition("/")[2]
        urls = [PackageURL.from_string(component["purl"]) for component in bom["components"]]
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise DataError(f"{path} is no SBOM as make sbom writes it: {fault}") from None
    targets = []
    for url in urls:
        shown, version = f"{url.name} {url.version}", url.version or ""
        qualifiers = url.qualifiers if isinstance(url.qualifiers, dict) else {}
        distribution, _, release = qualifiers.get("distro", "").partition("-")
        if url.type == "pypi":
            targets.append(Target("PyPI", url.name, version, shown))
        elif url.type == "deb" and distribution == "debian" and release:
            source, _, built_from = qualifiers.get("upstream", "").partition("@")
            targets.append(
                Target(f"Debian:{release}", source or url.name, built_from or version, shown)
            )
        else:
            uncovered.add(shown)
    return image, targets


def search(
    targets: Iterable[Target], archives: Iterable[Path]
) -> tuple[list[Vulnerability], dict[str, str]]:
    """Vulnerabilities of the targets, and for each of their ecosystems that an archive has the newest record's date."""
    by_package: dict[tuple[str, str], list[Target]] = defaultdict(list)
    for target in targets:
        by_package[same_package(target.ecosystem, target.name)].append(target)
    ecosystems = {ecosystem for ecosystem, _ in by_package}
    hits: dict[Target, list[Hit]] = defaultdict(list)
    rated: dict[str, Severity] = {}
    seen: dict[str, str] = {}
    for path in archives:
        for advisory in read_archive(path):
            if advisory.ecosystem not in ecosystems:
                continue
            seen[advisory.ecosystem] = max(seen.get(advisory.ecosystem, ""), advisory.modified)
            for target in by_package.get(same_package(advisory.ecosystem, advisory.package), ()):
                try:
                    decided, is_hit = True, concerns(advisory, target.version)
                except Incomparable:
                    decided, is_hit = False, True
                if is_hit:
                    hits[target].append((advisory, decided))
            for name in advisory.names:
                rated[name] = max(rated.get(name, Severity.UNKNOWN), advisory.severity)
    found = [one for target, each in hits.items() for one in merge(target, each, rated)]
    return sorted(found, key=lambda one: (-one.severity, one.target, one.id)), seen


def merge(
    target: Target, hits: Iterable[Hit], rated: Mapping[str, Severity]
) -> list[Vulnerability]:
    """One vulnerability for advisories that share a name.

    A notice on several is left out where each of them has an advisory of its own. The severity is the worst that one of
    the advisories gives; where none does, that of a record elsewhere about the same.
    """
    hits = list(hits)
    single = {name for each, _ in hits for name in each.names if len(each.upstream) < 2}
    groups: list[tuple[frozenset[str], list[Hit]]] = []
    for advisory, decided in hits:
        if len(advisory.upstream) > 1 and advisory.upstream <= single:
            continue
        joined = [group for group in groups if group[0] & advisory.names]
        names = advisory.names.union(*(known for known, _ in joined))
        members = [(advisory, decided), *(member for _, each in joined for member in each)]
        groups = [*(group for group in groups if group not in joined), (names, members)]
    return [_vulnerability(target, names, members, rated) for names, members in groups]


def _vulnerability(
    target: Target, names: frozenset[str], members: list[Hit], rated: Mapping[str, Severity]
) -> Vulnerability:
    advisories = [advisory for advisory, _ in members]
    return Vulnerability(
        target=target,
        names=names,
        severity=max(each.severity for each in advisories)
        or _rated_elsewhere(names, advisories, rated),
        fixed=tuple(sorted({version for each in advisories for version in each.fixed})),
        summary=min((each.summary for each in advisories if each.summary), default=""),
        undecided=not any(decided for _, decided in members),
    )


def _rated_elsewhere(
    names: frozenset[str], advisories: Iterable[Advisory], rated: Mapping[str, Severity]
) -> Severity:
    """What other records say: the worst of its names, or of all that a notice repairs if each of them is rated."""
    repaired = {rated.get(name, Severity.UNKNOWN) for each in advisories for name in each.upstream}
    own = max(rated.get(name, Severity.UNKNOWN) for name in names)
    return own or (Severity.UNKNOWN if Severity.UNKNOWN in repaired else max(repaired, default=own))


def sort_out(
    found: Iterable[Vulnerability], accepted: Iterable[Ignored], today: date
) -> tuple[list[Vulnerability], list[Vulnerability]]:
    """Those that stand, and those that an entry of the policy accepts, its last day included."""
    holding = {(each.package, each.id) for each in accepted if each.until >= today}
    stand: list[Vulnerability] = []
    ignored: list[Vulnerability] = []
    for one in found:
        packages = {one.target.name, one.target.shown.partition(" ")[0]}
        is_accepted = any((package, name) in holding for package in packages for name in one.names)
        (ignored if is_accepted else stand).append(one)
    return stand, ignored
