"""The scan as a whole: SBOMs against archives, aliases, what the policy accepts, and the exit code."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fingpt.errors import ConfigError, DataError, MissingInputError
from images import cves
from images.contents import Image, Package
from images.cves import find_archives
from images.matching import Target, read_targets, search, sort_out
from images.policy import Ignored, Severity, read_policy
from images.sbom import as_cyclonedx

TODAY = date(2026, 11, 26)
HIGH = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}]
LOW = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]
JINJA = Target("PyPI", "jinja2", "3.1.6", "jinja2 3.1.6")
OPENSSL = Target("Debian:12", "openssl", "3.0.17-1~deb12u2", "libssl3 3.0.17-1~deb12u2")
POLICY = '[licences]\nallowed = ["MIT"]\n[cves]\nfail-at = "high"\n'


def record(name, ecosystem, package, **more) -> dict[str, object]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]
    affected = [{"package": {"ecosystem": ecosystem, "name": package}, "ranges": ranges}]
    return {"id": name, "modified": "2026-11-01T00:00:00Z", "affected": affected, **more}


def archive(path: Path, *records: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as made:
        for each in records:
            made.writestr(f"{each['id']}.json", json.dumps(each))
    return path


@pytest.fixture
def found(tmp_path):
    """What is found of jinja2 and openssl in these records."""

    def look(*records):
        hits, _ = search([JINJA, OPENSSL], [archive(tmp_path / "all.zip", *records)])
        return [(one.id, one.target.name, one.severity) for one in hits]

    return look


def test_names_of_python_are_one_however_they_are_written_and_those_of_debian_are_exact(found):
    assert found(
        record("A", "PyPI", "Jinja2"),
        record("B", "PyPI", "jinja.2"),
        record("C", "Debian:12", "OpenSSL"),
    ) == [("A", "jinja2", Severity.UNKNOWN)]


def test_another_release_or_ecosystem_is_not_ours(found):
    assert (
        found(
            record("A", "Debian:11", "openssl"),
            record("B", "Debian", "openssl"),
            record("C", "npm", "jinja2"),
        )
        == []
    )


def test_aliases_are_one_vulnerability_with_the_worst_severity(found):
    first = record("PYSEC-1", "PyPI", "jinja2", aliases=["CVE-1"], severity=LOW)
    second = record("GHSA-1", "PyPI", "jinja2", aliases=["CVE-1"], severity=HIGH)
    assert found(first, second) == found(second, first) == [("CVE-1", "jinja2", Severity.HIGH)]


def test_two_records_that_a_third_joins_are_one(found):
    first, second = record("A", "PyPI", "jinja2"), record("B", "PyPI", "jinja2")
    assert len(found(first, second)) == 2
    assert len(found(first, second, record("C", "PyPI", "jinja2", aliases=["A", "B"]))) == 1


def test_a_severity_comes_from_elsewhere_where_the_record_gives_none(found):
    ours = record("DEBIAN-CVE-1", "Debian:12", "openssl", upstream=["CVE-1"])
    other = record("DEBIAN-CVE-1-sid", "Debian:12", "else", upstream=["CVE-1"], severity=HIGH)
    assert found(ours, other) == [("CVE-1", "openssl", Severity.HIGH)]


def test_a_notice_on_several_joins_none_of_them_and_goes_where_each_is_known(found):
    one = record("DEBIAN-CVE-1", "Debian:12", "openssl", upstream=["CVE-1"], severity=LOW)
    two = record("DEBIAN-CVE-2", "Debian:12", "openssl", upstream=["CVE-2"], severity=HIGH)
    notice = record("DSA-1", "Debian:12", "openssl", upstream=["CVE-1", "CVE-2"])
    both = [("CVE-2", "openssl", Severity.HIGH), ("CVE-1", "openssl", Severity.LOW)]
    assert found(one, two, notice) == found(notice, two, one) == both
    assert ("DSA-1", "openssl", Severity.UNKNOWN) in found(notice, one)


def test_the_worst_comes_first(found):
    rated = [
        record("A", "PyPI", "jinja2", severity=LOW),
        record("B", "Debian:12", "openssl", severity=HIGH),
    ]
    assert [severity for _, _, severity in found(*rated)] == [Severity.HIGH, Severity.LOW]


def test_versions_that_cannot_be_compared_are_a_finding_that_says_so(tmp_path):
    odd = Target("PyPI", "jinja2", "2004d-odd", "jinja2 2004d-odd")
    (one,), _ = search([odd], [archive(tmp_path / "all.zip", record("A", "PyPI", "jinja2"))])
    assert (one.id, one.undecided) == ("A", True)


def test_an_entry_holds_for_its_package_any_alias_and_its_last_day(tmp_path):
    records = [
        record("GHSA-1", "PyPI", "jinja2", aliases=["CVE-1"]),
        record("CVE-1x", "Debian:12", "openssl"),
    ]
    hits, _ = search([JINJA, OPENSSL], [archive(tmp_path / "all.zip", *records)])

    def stands(**entry) -> list[str]:
        accepted = Ignored(
            **{"id": "CVE-1", "package": "jinja2", "reason": "r", "until": TODAY} | entry
        )
        return sorted(one.id for one in sort_out(hits, [accepted], TODAY)[0])

    assert stands() == stands(id="GHSA-1") == ["CVE-1x"]
    assert (
        stands(id="CVE-1x", package="openssl")
        == stands(id="CVE-1x", package="libssl3")
        == ["CVE-1"]
    )
    for entry in ({"until": TODAY - timedelta(days=1)}, {"package": "openssl"}, {"id": "CVE-2"}):
        assert stands(**entry) == ["CVE-1", "CVE-1x"]


def sbom(folder: Path, *packages: Package) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    created = datetime(2026, 11, 26, tzinfo=UTC)
    image = Image("team/fingpt-prep:0.1.0-1", "sha256:1", (), created, {}, packages)
    path = folder / "fingpt-prep.cdx.json"
    path.write_text(as_cyclonedx(image, {}), "utf-8")
    return path


LIBSSL = Package(
    "deb", "libssl3", "3.0.17-1~deb12u2+b1", (), "openssl", "3.0.17-1~deb12u2", "amd64", "debian-12"
)


def test_an_sbom_of_ours_says_which_source_package_and_release_to_look_for(tmp_path):
    python, other = Package("generic", "python", "3.11.17"), Package("pypi", "torch", "2.13.0+cpu")
    uncovered: set[str] = set()
    image, targets = read_targets(sbom(tmp_path, LIBSSL, python, other), uncovered)
    assert (image, uncovered) == ("fingpt-prep:0.1.0-1", {"python 3.11.17"})
    assert sorted(targets) == [
        Target("Debian:12", "openssl", "3.0.17-1~deb12u2", "libssl3 3.0.17-1~deb12u2+b1"),
        Target("PyPI", "torch", "2.13.0+cpu", "torch 2.13.0+cpu"),
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"components": [{"name": "a"}]}', '{"components": [{"purl": "x"}]}']
)
def test_what_is_no_sbom_of_ours_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json is no SBOM"):
        read_targets(tmp_path / "a.json", set())


@pytest.fixture
def scan(tmp_path, monkeypatch, caplog):
    """The command on one image of jinja2 and openssl, with these records; its exit code and all that it said."""
    monkeypatch.setattr(cves, "ROOT", tmp_path)
    sbom(
        tmp_path / "build" / "sbom",
        LIBSSL,
        Package("pypi", "jinja2", "3.1.6"),
        Package("generic", "python", "3.11.17"),
    )
    (tmp_path / "images").mkdir()

    def run(*records, policy=POLICY, name="my data/all.zip"):
        (tmp_path / "images" / "policy.toml").write_text(policy)
        archive(tmp_path / name, *records)
        app = cves.typer.Typer()
        app.command()(cves.main)
        done = CliRunner().invoke(
            app, [], env={"FINGPT_ARG_OSV": str(tmp_path / "my data"), "COLUMNS": "200"}
        )
        return done.exit_code, done.output

    return run


CLEAN = (record("X", "PyPI", "else"), record("Y", "Debian:12", "else"))


def test_nothing_known_is_success_and_says_what_nobody_looked_at(scan):
    code, said = scan(*CLEAN)
    assert code == 0
    assert "Not covered by OSV: python 3.11.17" in said
    assert "PyPI: records until 2026-11-01" in said


def test_the_threshold_decides_and_unrated_counts_as_bad(scan):
    low, high, unrated = (
        record("CVE-1", "PyPI", "jinja2", severity=LOW),
        record("CVE-1", "PyPI", "jinja2", severity=HIGH),
        record("CVE-1", "PyPI", "jinja2"),
    )
    strict = POLICY.replace("high", "low")
    codes = [scan(each, *CLEAN)[0] for each in (low, high, unrated)] + [
        scan(low, *CLEAN, policy=strict)[0]
    ]
    assert codes == [0, 65, 65, 65]
    _, said = scan(high, *CLEAN)
    assert [
        word for word in ("high", "CVE-1", "jinja2 3.1.6", "9", "prep") if word not in said
    ] == []


def test_an_accepted_one_is_named_and_an_entry_that_ended_or_matches_nothing_is_too(scan):
    high = record("CVE-1", "PyPI", "jinja2", severity=HIGH)

    def entry(until, name="CVE-1"):
        return f'{POLICY}[[cves.ignore]]\nid = "{name}"\npackage = "jinja2"\nreason = "never called"\nuntil = {until}\n'

    code, said = scan(high, *CLEAN, policy=entry("2999-01-01"))
    assert (code, "accepted in images/policy.toml: CVE-1 in jinja2" in said) == (0, True)
    code, said = scan(high, *CLEAN, policy=entry("2020-01-01"))
    assert (code, "no longer accepted, since 2020-01-01 is past: CVE-1" in said) == (65, True)
    code, said = scan(*CLEAN, policy=entry("2999-01-01", "CVE-2"))
    assert (code, "accepted, but in no image: CVE-2" in said) == (0, True)


def test_a_part_of_which_no_archive_speaks_is_no_success(scan):
    assert scan(record("X", "PyPI", "else"))[0] == 66


def test_a_torn_archive_beside_a_whole_one_fails_the_scan(scan, tmp_path):
    (tmp_path / "my data" / "Debian").mkdir(parents=True)
    (tmp_path / "my data" / "Debian" / "all.zip").write_bytes(b"PK\x03\x04 torn")
    assert scan(*CLEAN)[0] == 65


def test_text_of_a_record_reaches_the_terminal_without_its_escapes(scan):
    _, said = scan(
        record("CVE-1\x1b[2J", "PyPI", "jinja2", summary="\x1b]0;title\x07 words"), *CLEAN
    )
    assert "words" in said
    assert "\x1b[2J" not in said
    assert "\x1b]0" not in said


def test_archives_are_a_file_or_a_folder_with_blanks_and_never_nothing(tmp_path):
    one, two = (
        archive(tmp_path / "my data" / name / "all.zip", *CLEAN) for name in ("PyPI", "Debian")
    )
    assert find_archives(str(tmp_path / "my data")) == [two, one]
    assert find_archives(str(one)) == [one]
    with pytest.raises(ConfigError, match="OSV is empty"):
        find_archives(" ")
    (tmp_path / "empty").mkdir()
    for missing in ("empty", "nowhere"):
        with pytest.raises(MissingInputError, match="neither"):
            find_archives(str(tmp_path / missing))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no toml",
        POLICY.replace("high", "severe"),
        POLICY + "more = 1\n",
        POLICY + '[[cves.ignore]]\nid = "CVE-1"\npackage = "a"\nuntil = 2027-01-01\n',
        POLICY + '[[cves.ignore]]\nid = "CVE-1"\npackage = "a"\nreason = " "\nuntil = 2027-01-01\n',
        POLICY + '[[cves.ignore]]\nid = "CVE-1"\npackage = "a"\nreason = "r"\nuntil = "some day"\n',
        POLICY + '[[cves.ignore]]\nid = "CVE-1"\npackage = "a"\nreason = "r"\n',
    ],
)
def test_a_policy_that_says_less_than_it_must_is_refused(tmp_path, text):
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        read_policy(tmp_path / "policy.toml")
