"""What is in an image, read from its files: Debian packages, Python distributions, CPython itself.

Nothing of the image is run: a container is created, never started, and its file system streamed. Not seen are libraries
inside a wheel's binaries, crates of extension modules, and files that no package lists.
"""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import IO, Any

from debian.copyright import Copyright, MachineReadableFormatError, NotMachineReadableError
from debian.deb822 import Deb822
from packaging.utils import canonicalize_name

from fingpt.errors import DataError, MissingInputError, SetupError

# It warns of addresses that it corrects in copyright files.
logging.getLogger("debian.copyright").setLevel(logging.ERROR)

# Nothing that is read from an image is larger; dpkg's status of a desktop has 5 MiB.
_FILE_BYTES = 64 << 20

_STATUS = "var/lib/dpkg/status"
_STATUS_OF_ONE = re.compile(
    r"var/lib/dpkg/status\.d/[^/.]+"
)  # files of a package that were copied without apt
_OS_RELEASE = "usr/lib/os-release"
_OWNED = re.compile(r"var/lib/dpkg/info/[^/]+\.list")
_COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")
_DOC = re.compile(r"usr/share/doc/([^/]+)")
_DISTRIBUTION = re.compile(r".+\.dist-info/METADATA|.+\.egg-info/PKG-INFO|.+\.egg-info|.+\.whl")
_PATCHLEVEL = re.compile(r"(?:usr/local|opt)/.*include/python3\.\d+/patchlevel\.h")


@dataclass(frozen=True, order=True)
class Package:
    """One thing that is installed.

    `kind` is the purl type: deb, pypi or generic. `licences` are statements as the package makes them, each an SPDX
    expression or a name; `source` and `source_version` are what Debian built it from, under which its security
    notices speak; `release` is such as debian-12; `places` are the paths that say so.
    """

    kind: str
    name: str
    version: str
    licences: tuple[str, ...] = ()
    source: str = ""
    source_version: str = ""
    architecture: str = ""
    release: str = ""
    section: str = ""
    places: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Image:
    """An image as the engine knows it, and its packages in the order of kind, name and version."""

    name: str
    image_id: str
    digests: tuple[str, ...]
    created: datetime
    labels: dict[str, str]
    packages: tuple[Package, ...]

    @property
    def summary(self) -> str:
        """How many packages of which kind."""
        kinds = [package.kind for package in self.packages]
        own = ", CPython" if "generic" in kinds else ""
        return (
            f"{kinds.count('deb')} Debian packages, {kinds.count('pypi')} Python distributions{own}"
        )


def read_image(name: str) -> Image:
    """Ask the Docker engine for the image and all that is in it; MissingInputError where it has no such image."""
    said = _docker("image", "inspect", name)
    if said.returncode:
        raise MissingInputError(
            f"The engine has no image {name}: build it first, with make images."
        )
    about = json.loads(said.stdout)[0]
    created = _docker("create", name)
    if created.returncode:
        raise SetupError(f"No container of {name} could be made: {created.stderr.strip()}")
    container = created.stdout.strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            assert export.stdout
            packages = read_files(export.stdout, name)
    finally:
        _docker("rm", container)
    return Image(
        name=name,
        image_id=about["Id"],
        digests=tuple(about.get("RepoDigests") or ()),
        created=datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", about["Created"])),
        labels=about["Config"].get("Labels") or {},
        packages=packages,
    )


def read_files(stream: IO[bytes], where: str) -> tuple[Package, ...]:
    """The packages in a tar of an image's file system; DataError when it is torn or has no dpkg status."""
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                path = member.name.removeprefix("./").lstrip("/")
                if member.issym() and (match := _DOC.fullmatch(path)):
                    links[match[1]] = PurePosixPath(member.linkname).name
                elif member.isfile() and _is_read(path):
                    if member.size > _FILE_BYTES:
                        raise DataError(
                            f"{path} in {where} has {member.size} bytes: too many to be what it says."
                        )
                    content = tar.extractfile(member)
                    files[path] = content.read() if content else b""
    except (tarfile.TarError, EOFError) as fault:
        raise DataError(f"The files of {where} end too early or are no tar: {fault}") from None
    if _STATUS not in files:
        raise DataError(f"{where} has no {_STATUS}: only images on Debian can be read.")
    owned = {
        line.lstrip("/")
        for path, data in files.items()
        if _OWNED.fullmatch(path)
        for line in _text(data).splitlines()
    }
    packages = [
        *_debian(files, links),
        *_distributions({path: data for path, data in files.items() if path not in owned}, where),
        *_interpreters(files),
    ]
    return tuple(sorted(packages))


def _is_read(path: str) -> bool:
    wanted = (_STATUS_OF_ONE, _OWNED, _COPYRIGHT, _DISTRIBUTION, _PATCHLEVEL)
    return path in (_STATUS, _OS_RELEASE) or any(each.fullmatch(path) for each in wanted)


def _debian(files: dict[str, bytes], links: dict[str, str]) -> Iterable[Package]:
    release = dict(
        re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', _text(files.get(_OS_RELEASE, b"")), re.M)
    )
    single = sorted(path for path in files if _STATUS_OF_ONE.fullmatch(path))
    status = "\n\n".join(_text(files[path]) for path in (_STATUS, *single))
    for entry in Deb822.iter_paragraphs(status):
        if not entry.get("Status", "").endswith(" installed"):
            continue
        name, version = entry["Package"], entry["Version"]
        source = re.fullmatch(r"(\S+)(?: \((\S+)\))?", entry.get("Source", name))
        assert source, "a source is a name, and a version where it differs"
        place = f"usr/share/doc/{links.get(name, name)}/copyright"
        yield Package(
            kind="deb",
            name=name,
            version=version,
            licences=copyright_licences(_text(files.get(place, b""))),
            source=source[1],
            source_version=source[2] or version,
            architecture=entry.get("Architecture", ""),
            release="-".join(filter(None, (release.get("ID"), release.get("VERSION_ID")))),
            section=entry.get("Section", ""),
            places=(place,) if place in files else (),
        )


def copyright_licences(text: str) -> tuple[str, ...]:
    """The licence names of a machine-readable debian/copyright; () where a person has to read it."""
    try:
        parsed = Copyright(text.splitlines(), strict=False)
    except (NotMachineReadableError, MachineReadableFormatError, ValueError):
        return ()
    stated: list[Any] = [part.license for part in parsed.all_files_paragraphs()]
    stated.append(parsed.header.license)
    return tuple(
        sorted({each.synopsis.strip() for each in stated if each and each.synopsis.strip()})
    )


def _distributions(files: dict[str, bytes], where: str) -> Iterable[Package]:
    """Every Python distribution that no Debian package owns, one for each name and version."""
    found: dict[tuple[str, str], tuple[tuple[str, ...], list[str]]] = {}
    for path, data in files.items():
        if not _DISTRIBUTION.fullmatch(path):
            continue
        metadata = HeaderParser().parsestr(
            _text(_of_wheel(data, path, where) if path.endswith(".whl") else data)
        )
        if not metadata["Name"] or not metadata["Version"]:
            raise DataError(
                f"{path} in {where} names no distribution and version: its metadata are damaged."
            )
        key = canonicalize_name(str(metadata["Name"])), str(metadata["Version"])
        _, places = found.setdefault(key, (metadata_licences(metadata), []))
        places.append(path)
    for (name, version), (licences, places) in found.items():
        yield Package("pypi", name, version, licences, places=tuple(sorted(places)))


def _of_wheel(data: bytes, path: str, where: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            (name,) = [
                each
                for each in wheel.namelist()
                if re.fullmatch(r"[^/]+\.dist-info/METADATA", each)
            ]
            with wheel.open(name) as content:
                return content.read(_FILE_BYTES)
    except (zipfile.BadZipFile, ValueError, EOFError) as fault:
        raise DataError(f"{path} in {where} is no wheel that can be read: {fault}") from None


def metadata_licences(metadata: Any) -> tuple[str, ...]:
    """What METADATA says of the licence: the expression of PEP 639, else classifiers, else the free field."""
    if expression := metadata["License-Expression"]:
        return (str(expression).strip(),)
    classifiers = [str(each).split(" :: ") for each in metadata.get_all("Classifier", [])]
    named = sorted(
        {each[-1] for each in classifiers if each[0] == "License" and each[-1] != "OSI Approved"}
    )
    free = str(metadata["License"] or "").strip().split("\n")[0].strip()
    # "BSD License" says less than a free field that names one of them; some put the licence's text there.
    names_one = free != "UNKNOWN" and not re.match(r"copyright|$", free, re.I) and len(free) < 60
    if names_one and (not named or named == ["BSD License"]):
        return (free,)
    return tuple(named)


def _interpreters(files: dict[str, bytes]) -> Iterable[Package]:
    for path, data in files.items():
        if _PATCHLEVEL.fullmatch(path) and (
            match := re.search(r'PY_VERSION\s+"([^"]+)"', _text(data))
        ):
            yield Package("generic", "python", match[1], ("PSF-2.0",), places=(path,))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["docker", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise SetupError(
            "docker is not on PATH; the images are read through its engine: install it."
        ) from None
