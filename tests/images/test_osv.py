"""OSV's records: which versions they concern, how bad they are, and archives that are torn, foreign or too large."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from fingpt.errors import DataError
from images import osv
from images.osv import Advisory, Incomparable, concerns, parse_record, read_archive
from images.policy import Severity

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
LOW = "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"


def record(
    *events, ecosystem="PyPI", name="thing", kind="ECOSYSTEM", versions=(), **more
) -> dict[str, object]:
    ranges = [{"type": kind, "events": [dict([event]) for event in events]}] if events else []
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": ranges,
        "versions": list(versions),
    }
    return {
        "id": "GHSA-1",
        "modified": "2026-11-01T00:00:00Z",
        "affected": [affected | more.pop("affected", {})],
        **more,
    }


def advisory(*events, **more) -> Advisory:
    (made,) = parse_record(json.dumps(record(*events, **more)).encode(), "here")
    return made


def archive(path: Path, *records: object, text: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for number, each in enumerate(records):
            made.writestr(f"{number}.json", json.dumps(each))
        if text:
            made.writestr("text.json", text)
    return path


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        (
            [("introduced", "0"), ("fixed", "1.10")],
            ["0.1", "1.9", "1.10rc1"],
            ["1.10", "1.10.post1", "2"],
        ),
        ([("introduced", "0")], ["0", "999"], []),
        ([("introduced", "1.2"), ("fixed", "1.4")], ["1.2", "1.3.9"], ["1.1", "1.2.dev1", "1.4"]),
        ([("introduced", "1"), ("last_affected", "1.5")], ["1", "1.5"], ["0.9", "1.5.1"]),
        (
            [("introduced", "2"), ("fixed", "2.2"), ("introduced", "0"), ("fixed", "1.1")],
            ["1.0", "2.1"],
            ["1.1", "1.9", "2.2"],
        ),
        ([("introduced", "0"), ("limit", "2")], ["1.9"], ["2", "3"]),
        ([("introduced", "0"), ("limit", "*")], ["1.9"], []),
        ([("fixed", "1.0")], [], ["0.9", "1.0"]),
        (
            [("introduced", "0"), ("fixed", "1.0"), ("introduced", "2.0rc1")],
            ["0.9", "2.0rc1", "3"],
            ["1.0", "1.5"],
        ),
    ],
)
def test_a_range_goes_from_introduced_to_fixed_in_the_order_of_versions(events, inside, outside):
    made = advisory(*events)
    assert [version for version in (*inside, *outside) if concerns(made, version)] == inside


def test_debian_versions_are_compared_as_dpkg_does():
    made = advisory(("introduced", "0"), ("fixed", "1:3.0.17-1~deb12u2"), ecosystem="Debian:12")
    inside = ["3.0.18-1", "1:3.0.9-1", "1:3.0.17-1~deb12u1", "1:3.0.17-1~deb12u2~bpo1"]
    outside = ["1:3.0.17-1~deb12u2", "1:3.0.17-1~deb12u2+b1", "1:3.0.17-1", "2:0.1-1"]
    assert [version for version in (*inside, *outside) if concerns(made, version)] == inside


def test_a_local_build_is_judged_by_its_public_version():
    last = advisory(("introduced", "0"), ("last_affected", "2.13.0"))
    fixed = advisory(("introduced", "0"), ("fixed", "2.13.0"))
    listed = advisory(versions=["2.13.0"])
    assert [concerns(each, "2.13.0+cpu") for each in (last, fixed, listed)] == [True, False, True]


def test_listed_versions_count_beside_ranges_however_they_are_written():
    made = advisory(
        ("introduced", "5"), ("fixed", "6"), versions=["1.0.0", "no version", "2.0-rc.1"]
    )
    assert [concerns(made, version) for version in ("1.0", "2.0rc1", "5.5", "1.1")] == [
        True,
        True,
        True,
        False,
    ]
    assert concerns(advisory(versions=["odd one"]), "odd one")


def test_what_cannot_be_compared_is_said_and_not_taken_for_clean():
    with pytest.raises(Incomparable, match="odd"):
        concerns(advisory(("introduced", "0"), ("fixed", "odd")), "1.0")
    with pytest.raises(Incomparable, match="2004d-odd"):
        concerns(advisory(("introduced", "0"), ("fixed", "1.0")), "2004d-odd")
    with pytest.raises(Incomparable):
        concerns(
            advisory(("introduced", "0"), ("fixed", "1"), ecosystem="Debian:12"), "no version:"
        )


def test_ranges_of_commits_are_passed_over():
    made = advisory(("introduced", "0"), kind="GIT")
    assert (made.ranges, concerns(made, "1.0")) == ((), False)


def test_a_withdrawn_record_says_nothing():
    assert (
        list(parse_record(json.dumps(record(withdrawn="2026-01-01T00:00:00Z")).encode(), "x")) == []
    )


def test_a_record_speaks_of_each_of_its_packages():
    made = record(("introduced", "0"))
    made["affected"].append({"package": {"ecosystem": "PyPI", "name": "other"}, "versions": ["1"]})
    made["affected"].append({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]})
    assert [each.package for each in parse_record(json.dumps(made).encode(), "x")] == [
        "thing",
        "other",
    ]


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": CRITICAL}]}, Severity.CRITICAL),
        (
            {
                "severity": [
                    {"type": "CVSS_V3", "score": LOW},
                    {"type": "CVSS_V3", "score": CRITICAL},
                ]
            },
            Severity.CRITICAL,
        ),
        (
            {
                "severity": [
                    {
                        "type": "CVSS_V4",
                        "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                    }
                ]
            },
            Severity.CRITICAL,
        ),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:P/I:P/A:P"}]}, Severity.HIGH),
        ({"severity": [{"type": "Ubuntu", "score": "medium"}]}, Severity.MEDIUM),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/broken"}]}, Severity.UNKNOWN),
        ({"database_specific": {"severity": "MODERATE"}}, Severity.MEDIUM),
        ({"affected": {"severity": [{"type": "CVSS_V3", "score": LOW}]}}, Severity.LOW),
        ({"affected": {"ecosystem_specific": {"urgency": "unimportant"}}}, Severity.LOW),
        ({}, Severity.UNKNOWN),
    ],
)
def test_the_severity_is_the_worst_that_is_said(said, severity):
    assert advisory(("introduced", "0"), **said).severity is severity


def test_one_cve_of_debian_is_a_name_and_the_many_of_a_notice_are_not():
    one = advisory(("introduced", "0"), upstream=["CVE-1"], aliases=["B"])
    many = advisory(("introduced", "0"), upstream=["CVE-1", "CVE-2"])
    assert (one.names, many.names, many.upstream) == (
        {"GHSA-1", "B", "CVE-1"},
        {"GHSA-1"},
        {"CVE-1", "CVE-2"},
    )


def test_an_archive_gives_all_of_its_records(tmp_path):
    path = archive(
        tmp_path / "all.zip", *(record(("introduced", "0"), name=f"p{n}") for n in range(50))
    )
    assert [each.package for each in read_archive(path)] == [f"p{n}" for n in range(50)]


def test_a_torn_archive_is_an_error_wherever_it_is_torn(tmp_path):
    whole = archive(
        tmp_path / "all.zip", *(record(("introduced", "0"), summary="x" * n) for n in range(50))
    ).read_bytes()
    for name, data in {
        "short": whole[: len(whole) // 2],
        "empty": b"",
        "flipped": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
        "zeroed": whole[:40] + bytes(40) + whole[80:],
        "page": b"<html>not found</html>",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=name):
            list(read_archive(tmp_path / name))


OF_THING = '{"id": "x", "affected": [{"package": {"name": "thing", "ecosystem": "PyPI"}, %s}]}'


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '"words"',
        "null",
        "{}",
        '{"id": "x", "affected": 3}',
        '{"id": "x", "affected": [{"package": "thing"}]}',
        OF_THING % '"ranges": [{"type": "ECOSYSTEM"}]',
        OF_THING % '"ranges": [{"type": "SEMVER", "events": ["0"]}]',
        OF_THING % '"severity": "high"',
        "[" * 100_000,
    ],
)
def test_a_member_that_is_no_record_is_an_error_that_names_it(tmp_path, text):
    path = archive(tmp_path / "all.zip", text=text)
    with pytest.raises(DataError, match=r"text\.json in .*all\.zip is no record"):
        list(read_archive(path))


def test_archives_and_records_are_bounded(tmp_path, monkeypatch):
    path = archive(tmp_path / "all.zip", record(("introduced", "0"), details="x" * 10_000))
    assert path.stat().st_size < 1000
    monkeypatch.setattr(osv, "_RECORD_BYTES", 9000)
    with pytest.raises(DataError, match="larger than 9000 bytes"):
        list(read_archive(path))
    monkeypatch.setattr(osv, "_ARCHIVE_BYTES", 9000)
    with pytest.raises(DataError, match="more than 9000 bytes"):
        list(read_archive(path))


def test_an_archive_without_a_record_is_not_clean(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as made:
        made.writestr("README", "nothing")
    with pytest.raises(DataError, match="holds no record"):
        list(read_archive(tmp_path / "all.zip"))
