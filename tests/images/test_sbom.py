"""An image's list as CycloneDX, what the locks say of it, and the command that writes both."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from fingpt.errors import DataError
from images import sbom
from images.contents import Image, Package
from images.licences import licence_table
from images.policy import Policy, read_policy
from images.sbom import as_cyclonedx, locked_hashes, purl, unlocked

ROOT = Path(__file__).parents[2]
SITE = "venv/lib/python3.11/site-packages"
TORCH = Package(
    "pypi",
    "torch",
    "2.13.0+cpu",
    ("BSD-3-Clause AND MIT",),
    places=(f"{SITE}/torch-2.13.0+cpu.dist-info/METADATA",),
)
ZIPP = Package(
    "pypi",
    "zipp",
    "3.23.0",
    (),
    places=(f"{SITE}/setuptools/_vendor/zipp-3.23.0.dist-info/METADATA",),
)
LIBC = Package(
    "deb",
    "libc6",
    "2.36-9+deb12u13+b1",
    ("GPL-2+", "some | words"),
    "glibc",
    "2.36-9+deb12u13",
    "amd64",
    "debian-12",
    "libs",
)
PYTHON = Package("generic", "python", "3.11.17", ("PSF-2.0",))
LOCK = f"""\
torch==2.13.0 ; sys_platform == 'linux' \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
    # via x
"""
HASHES = {("torch", "2.13.0"): ("a" * 64, "b" * 64)}


@pytest.fixture
def image() -> Image:
    lock = sha256((ROOT / "requirements" / "prep.txt").read_bytes()).hexdigest()
    return Image(
        name="registry.example:5000/team/fingpt-prep:0.1.0-0123456789ab",
        image_id="sha256:" + "1" * 64,
        digests=("registry.example:5000/team/fingpt-prep@sha256:" + "2" * 64,),
        created=datetime(2026, 11, 26, 12, 0, tzinfo=UTC),
        labels={
            "org.opencontainers.image.title": "fingpt-prep",
            "org.opencontainers.image.licenses": "MIT",
            "fingpt-jobs.lock-sha256": lock,
        },
        packages=(LIBC, PYTHON, TORCH, ZIPP),
    )


@pytest.fixture
def policy() -> Policy:
    return read_policy(ROOT / "images" / "policy.toml")


def components(text: str) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(text)["components"]}


def test_it_is_valid_cyclonedx_1_6_about_the_image(image):
    text = as_cyclonedx(image, HASHES)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    assert bom["specVersion"] == "1.6"
    about = bom["metadata"]["component"]
    assert (about["name"], about["version"]) == (
        "registry.example:5000/team/fingpt-prep",
        "0.1.0-0123456789ab",
    )
    assert {"name": "fingpt-jobs:digest", "value": image.digests[0]} in about["properties"]
    assert set(components(text)) == {"libc6", "python", "torch", "zipp"}


def test_one_image_has_one_list_byte_for_byte(image):
    assert as_cyclonedx(image, HASHES) == as_cyclonedx(image, HASHES)
    other = replace(image, image_id="sha256:" + "3" * 64)
    serials = {json.loads(as_cyclonedx(each, HASHES))["serialNumber"] for each in (image, other)}
    assert len(serials) == 2


def test_licences_are_an_expression_or_identifiers_or_names(image):
    found = components(as_cyclonedx(image, HASHES))
    assert found["torch"]["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    said = {json.dumps(each["license"]) for each in found["libc6"]["licenses"]}
    assert said == {'{"id": "GPL-2.0-or-later"}', '{"name": "some | words"}'}
    assert "licenses" not in found["zipp"]


def test_a_build_of_a_locked_version_has_the_lock_s_hashes(image):
    found = components(as_cyclonedx(image, HASHES))
    (files,) = found["torch"]["externalReferences"]
    assert {each["content"] for each in files["hashes"]} == {"a" * 64, "b" * 64}
    assert "externalReferences" not in found["zipp"]


def test_hashes_are_read_from_a_lock_with_markers_and_from_the_real_ones():
    assert locked_hashes([LOCK]) == HASHES
    real = locked_hashes([(ROOT / "requirements" / "prep.txt").read_text("utf-8")])
    text = (ROOT / "requirements" / "prep.txt").read_text("utf-8")
    assert len(real) > 50
    assert sum(map(len, real.values())) == text.count("--hash=sha256:")


def test_a_debian_package_s_url_says_release_and_source():
    url = PackageURL.from_string(purl(LIBC).to_string())
    assert (url.type, url.namespace, url.name, url.version) == (
        "deb",
        "debian",
        "libc6",
        LIBC.version,
    )
    assert url.qualifiers == {
        "arch": "amd64",
        "distro": "debian-12",
        "upstream": "glibc@2.36-9+deb12u13",
    }


def test_what_pip_installed_is_in_the_lock_and_what_a_library_carries_need_not_be(image):
    assert unlocked(image, HASHES) == []
    assert unlocked(image, {}) == [TORCH]
    other = replace(TORCH, version="2.12.0")
    assert unlocked(replace(image, packages=(other,)), HASHES) == [other]


def test_the_table_of_licences_marks_what_is_not_allowed_and_why_an_exception_is(image, policy):
    nvidia = Package("pypi", "nvidia-cublas", "13.1", ("LicenseRef-NVIDIA-Proprietary",))
    table = licence_table(
        replace(image, packages=(LIBC, nvidia, ZIPP)), policy, sbom.judge([ZIPP], (), ())
    )
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert (
        rows[0]
        == f"| pypi | nvidia-cublas | 13.1 | LicenseRef-NVIDIA-Proprietary | {policy.reason('nvidia-cublas')} |"
    )
    assert rows[1].endswith("| **not allowed** |")
    assert rows[2] == r"| deb | libc6 | 2.36-9+deb12u13+b1 | GPL-2.0-or-later, some \| words |  |"


def test_the_command_writes_both_files_and_names_what_may_not_be_there(
    image, policy, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sbom, "ROOT", tmp_path)
    monkeypatch.setattr(sbom, "FOLDER", tmp_path / "build" / "sbom")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "prep.txt").write_text(LOCK)
    image.labels["fingpt-jobs.lock-sha256"] = sha256(LOCK.encode()).hexdigest()
    stranger = Package(
        "pypi",
        "stranger",
        "1",
        ("GPL-3.0-only",),
        places=(f"{SITE}/stranger-1.dist-info/METADATA",),
    )
    faults = sbom.write(replace(image, packages=(LIBC, TORCH, stranger)), policy)
    assert faults == ["stranger 1 (GPL-3.0-only) in prep", "stranger 1 in prep comes from no lock"]
    assert "1 Debian packages, 2 Python distributions" in capsys.readouterr().out
    written = sorted(path.name for path in (tmp_path / "build" / "sbom").iterdir())
    assert written == ["fingpt-prep.cdx.json", "fingpt-prep.licences.md"]


def test_an_image_of_another_lock_or_of_somebody_else_is_refused(
    image, policy, tmp_path, monkeypatch
):
    monkeypatch.setattr(sbom, "FOLDER", tmp_path)
    image.labels["fingpt-jobs.lock-sha256"] = "0" * 64
    with pytest.raises(DataError, match=r"another requirements/prep\.txt: .* make images"):
        sbom.write(image, policy)
    image.labels["org.opencontainers.image.title"] = "postgres"
    with pytest.raises(DataError, match="no image of prep, train or eval"):
        sbom.write(image, policy)
    assert list(tmp_path.iterdir()) == []
