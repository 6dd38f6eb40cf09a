"""What an image's files say: dpkg's status, copyright files, metadata of distributions, CPython's header."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from fingpt.errors import DataError, MissingInputError, SetupError
from images import contents
from images.contents import Package, copyright_licences, read_files, read_image

STATUS = """\
Package: libssl3
Status: install ok installed
Section: libs
Architecture: amd64
Source: openssl
Version: 3.0.17-1~deb12u2

Package: libc6
Status: install ok installed
Section: libs
Architecture: amd64
Source: glibc (2.36-9+deb12u13)
Version: 2.36-9+deb12u13+b1

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: python3-pip
Status: install ok installed
Section: python
Architecture: all
Version: 23.0.1+dfsg-1
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 1998 Somebody
License: Apache-2.0

Files: debian/*
Copyright: 2000 Somebody
License: GPL-2+
 The text.
"""
METADATA = "Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\nA description.\nLicense: not this\n"
SITE = "venv/lib/python3.11/site-packages"


def wheel(name: str, version: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        text = METADATA.format(name=name, version=version, more="License: MIT\n")
        archive.writestr(f"{name}-{version}.dist-info/METADATA", text)
    return made.getvalue()


def files() -> dict[str, str | bytes]:
    """The files of a small image, as an engine exports them."""
    return {
        "usr/lib/os-release": 'PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nID=debian\n',
        "usr/share/doc/libssl3/copyright": COPYRIGHT,
        "usr/share/doc/libc6/copyright": "This is free software; a person has to read this.",
        f"{SITE}/Jinja2-3.1.6.dist-info/METADATA": METADATA.format(
            name="Jinja2", version="3.1.6", more="License-Expression: BSD-3-Clause\n"
        ),
        f"{SITE}/torch-2.13.0+cpu.dist-info/METADATA": METADATA.format(
            name="torch",
            version="2.13.0+cpu",
            more="Classifier: License :: OSI Approved :: BSD License\n",
        ),
        f"{SITE}/setuptools/_vendor/zipp-3.23.0.dist-info/METADATA": METADATA.format(
            name="zipp", version="3.23.0", more=""
        ),
        "usr/lib/python3/dist-packages/pip-23.0.1.dist-info/METADATA": METADATA.format(
            name="pip", version="23.0.1", more="License: MIT\n"
        ),
        "var/lib/dpkg/info/python3-pip.list": "/.\n/usr/lib/python3/dist-packages/pip-23.0.1.dist-info/METADATA\n",
        "usr/local/lib/python3.11/ensurepip/_bundled/pip-24.0-py3-none-any.whl": wheel(
            "pip", "24.0"
        ),
        "usr/local/include/python3.11/patchlevel.h": '#define PY_VERSION      	"3.11.17"\n',
        "var/lib/dpkg/status.d/tini": "Package: tini\nStatus: install ok installed\nVersion: 0.19.0-1+b3\n",
        "var/lib/dpkg/status.d/tini.md5sums": "0  usr/bin/tini\n",
        "app/fingpt/METADATA": "not a distribution",
        "var/lib/dpkg/status": STATUS,
    }


def tar(members: dict[str, str | bytes], links: dict[str, str] | None = None) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(encoded := data.encode() if isinstance(data, str) else data)
            archive.addfile(info, io.BytesIO(encoded))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    made.seek(0)
    return made


def read(
    members: dict[str, str | bytes], links: dict[str, str] | None = None
) -> dict[str, Package]:
    return {f"{each.kind} {each.name}": each for each in read_files(tar(members, links), "image")}


def test_everything_installed_is_found_once_and_what_was_removed_is_not():
    assert list(read(files())) == [
        "deb libc6",
        "deb libssl3",
        "deb python3-pip",
        "deb tini",
        "generic python",
        "pypi jinja2",
        "pypi pip",
        "pypi torch",
        "pypi zipp",
    ]


def test_a_debian_package_has_the_source_that_security_notices_name():
    found = read(files())
    libssl, libc = found["deb libssl3"], found["deb libc6"]
    assert (libssl.source, libssl.source_version) == ("openssl", "3.0.17-1~deb12u2")
    assert (libc.source, libc.source_version) == ("glibc", "2.36-9+deb12u13")
    assert libc.version == "2.36-9+deb12u13+b1"
    assert {libssl.release, libc.release} == {"debian-12"}


def test_a_distribution_that_a_debian_package_owns_is_that_package():
    versions = {each.version for each in read_files(tar(files()), "image") if each.name == "pip"}
    assert versions == {"24.0"}  # the bundled wheel, not Debian's patched 23.0.1
    del (unowned := files())["var/lib/dpkg/info/python3-pip.list"]
    versions = {each.version for each in read_files(tar(unowned), "image") if each.name == "pip"}
    assert versions == {"23.0.1", "24.0"}


def test_an_interpreter_that_no_package_brought_is_there_with_its_version():
    assert read(files())["generic python"].version == "3.11.17"


def test_licences_are_read_from_copyright_files_also_behind_a_link():
    moved = files()
    moved["usr/share/doc/openssl/copyright"] = moved.pop("usr/share/doc/libssl3/copyright")
    for members, links in ((files(), {}), (moved, {"usr/share/doc/libssl3": "openssl"})):
        assert read(members, links)["deb libssl3"].licences == ("Apache-2.0", "GPL-2+")
    assert read(files())["deb libc6"].licences == ()


def test_a_copyright_file_of_free_words_states_no_licence_by_name():
    assert copyright_licences("License: GPL\n\nnot in the format") == ()
    assert copyright_licences("") == ()


@pytest.mark.parametrize(
    ("more", "licences"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: whatever\n", ("MIT OR Apache-2.0",)),
        ("License: BSD\nClassifier: License :: OSI Approved :: MIT License\n", ("MIT License",)),
        (
            "License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License\n",
            ("BSD-3-Clause",),
        ),
        (
            "License: Copyright (c) 2001 A\nClassifier: License :: OSI Approved :: BSD License\n",
            ("BSD License",),
        ),
        ("License: Apache 2.0\n", ("Apache 2.0",)),
        ("License: UNKNOWN\n", ()),
        ("Classifier: License :: OSI Approved\n", ()),
        ("", ()),
    ],
)
def test_metadata_say_the_licence_in_three_ways_and_the_clearest_counts(more, licences):
    path = f"{SITE}/a-1.dist-info/METADATA"
    made = files() | {path: METADATA.format(name="a", version="1", more=more)}
    assert read(made)["pypi a"].licences == licences


def test_a_torn_export_is_an_error_and_not_a_short_list():
    whole = tar(files()).getvalue()
    for end in (100, len(whole) // 2, len(whole) // 2 + 300):
        with pytest.raises(DataError, match="image"):
            read_files(io.BytesIO(whole[:end]), "image")


def test_an_image_without_dpkg_is_refused():
    del (made := files())["var/lib/dpkg/status"]
    with pytest.raises(DataError, match="only images on Debian"):
        read(made)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (f"{SITE}/a-1.dist-info/METADATA", "Name: a\n"),
        (f"{SITE}/a-1.dist-info/METADATA", b"\xff\xfe\x00"),
        ("usr/lib/a-1-py3-none-any.whl", b"PK\x03\x04 torn"),
    ],
)
def test_metadata_that_name_nothing_are_an_error(path, data):
    with pytest.raises(DataError, match="a-1"):
        read(files() | {path: data})


def test_a_file_too_large_for_what_it_is_is_not_read(monkeypatch):
    monkeypatch.setattr(contents, "_FILE_BYTES", 100)
    with pytest.raises(DataError, match="too many"):
        read(files())


def test_an_image_that_is_not_there_and_an_engine_that_is_not_there_are_told_apart(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="docker is not on PATH"):
        read_image("fingpt-prep:x")
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(MissingInputError, match="make images"):
        read_image("fingpt-prep:x")
