"""Licences as SPDX expressions, and whether images/policy.toml allows them.

A Python distribution's licence has to satisfy the list of allowed ones: one side of an OR, both sides of an AND.
Debian's packages are judged by their archive section alone: all of Debian main meets the Debian Free Software
Guidelines, and its copyleft parts are separate programs and libraries of the system. What is in contrib or non-free is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from boolean import AND, OR
from license_expression import ExpressionError, ExpressionParseError, get_spdx_licensing

from images.contents import Image, Package
from images.policy import Policy

_SPDX = get_spdx_licensing()

# Names that package metadata use, in lower case and without "license". A name that leaves the version or the number of
# clauses open ("BSD License") has no identifier, and stays a name.
_NAMES = {
    "2-clause bsd": "BSD-2-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software": "Apache-2.0",
    "apache software 2.0": "Apache-2.0",
    "apache version 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd": "BSD License",
    "expat": "MIT",
    "gnu lesser general public v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "gnu general public v3 (gplv3)": "GPL-3.0-only",
    "gnu general public v3 or later (gplv3+)": "GPL-3.0-or-later",
    "isc (iscl)": "ISC",
    "isc": "ISC",
    "mit": "MIT",
    "mit-0": "MIT-0",
    "modified bsd": "BSD-3-Clause",
    "mozilla public 2.0 (mpl 2.0)": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "other/proprietary": "LicenseRef-Proprietary",
    "psf": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "zlib/libpng": "Zlib",
}
_GNU = re.compile(r"(A?GPL|LGPL|GFDL)-(\d)(\.\d)?(\+)?")


@dataclass(frozen=True)
class Finding:
    """A package whose licence the policy does not allow."""

    package: Package
    licence: str

    def __str__(self) -> str:
        return f"{self.package.name} {self.package.version} ({self.licence or 'no licence stated'})"


def spdx(statement: str) -> str:
    """The SPDX expression that a statement means, or the statement itself where it means none for certain."""
    text = " ".join(statement.split())
    plain = re.sub(r"[\s,]*\b(?:the|licen[cs]e)\b[\s,]*|[\s,]+", " ", text.lower()).strip(" .")
    if plain in _NAMES:
        return _NAMES[plain]
    if gnu := _GNU.fullmatch(text):
        later = "or-later" if gnu[4] else "only"
        return f"{gnu[1]}-{gnu[2]}{gnu[3] or '.0'}-{later}"
    parsed = _parse(text)
    return text if parsed is None else str(parsed)


def is_expression(text: str) -> bool:
    """Whether the text is an SPDX expression, LicenseRef- names included."""
    return _parse(text) is not None


def _parse(text: str) -> Any:
    try:
        parsed = _SPDX.parse(text)
    except (ExpressionError, ExpressionParseError):
        return None
    unknown = _SPDX.unknown_license_keys(parsed) if parsed is not None else []
    named = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
    return None if any(not named.fullmatch(each) for each in unknown) else parsed


def is_allowed(package: Package, allowed: Iterable[str], exceptions: Iterable[str]) -> bool:
    """Whether the package may be in an image.

    `allowed` are SPDX identifiers (with their exception: "X WITH Y") and names; `exceptions` are patterns of names of
    Python distributions.
    """
    if package.kind == "deb":
        return "/" not in package.section or package.section.startswith("main/")
    if any(fnmatchcase(package.name, pattern) for pattern in exceptions):
        return True
    listed = set(allowed)
    # Several statements without a word between them may mean any of them or all: all are asked for.
    return bool(package.licences) and all(
        _satisfied(spdx(each), listed) for each in package.licences
    )


def _satisfied(statement: str, allowed: set[str]) -> bool:
    if statement in allowed:
        return True
    parsed = _parse(statement)
    return parsed is not None and _holds(parsed, allowed)


def _holds(node: Any, allowed: set[str]) -> bool:
    if isinstance(node, AND):
        return all(_holds(each, allowed) for each in node.args)
    if isinstance(node, OR):
        return any(_holds(each, allowed) for each in node.args)
    return str(node) in allowed


def judge(
    packages: Iterable[Package], allowed: Iterable[str], exceptions: Iterable[str]
) -> list[Finding]:
    """The packages that the policy does not allow, each with what it says of its licence."""
    may, but = list(allowed), list(exceptions)
    return [
        Finding(package, ", ".join(spdx(each) for each in package.licences))
        for package in packages
        if not is_allowed(package, may, but)
    ]


def licence_table(image: Image, policy: Policy, refused: Iterable[Finding]) -> str:
    """A Markdown page: each package, its version and licence, and what of it is an exception or not allowed."""
    bad = {finding.package for finding in refused}
    lines = [f"# Licences in {image.name}", "", f"`{image.image_id}`: {image.summary}.", ""]
    lines += ["| kind | name | version | licence | note |", "|---|---|---|---|---|"]
    for package in sorted(image.packages, key=lambda each: (each.kind == "deb", each)):
        unread = f"see /{package.places[0]} in the image" if package.places else "not stated"
        licences = ", ".join(spdx(each) for each in package.licences) or unread
        note = policy.reason(package.name) if package.kind == "pypi" else ""
        note = "**not allowed**" if package in bad else note
        cells = (package.kind, package.name, package.version, licences, note)
        lines.append("| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |")
    return "\n".join(lines) + "\n"
