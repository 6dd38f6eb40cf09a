"""How many cores a process may use: what its container was granted and its affinity allow."""

from __future__ import annotations

import os

import pytest

from fingpt import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 cores; gives its folder of control groups, and the file that names this process's own."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    root, own = tmp_path / "cgroup", tmp_path / "self"
    monkeypatch.setattr(cores, "_CGROUPS", root)
    monkeypatch.setattr(cores, "_OWN", own)

    def grant(group: str, **files: str) -> None:
        folder = root / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)

    return grant, own


def test_without_control_groups_the_affinity_counts(machine, monkeypatch):
    assert cores.usable_cores() == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert cores.usable_cores() == 2


@pytest.mark.parametrize(
    ("granted", "expected"),
    [("max 100000", 64), ("250000 100000", 3), ("20000 100000", 1), ("no number", 64)],
)
def test_a_container_has_its_quota(machine, granted, expected):
    grant, own = machine
    own.write_text("0::/\n")
    grant("", cpu__max=granted)
    assert cores.usable_cores() == expected


def test_the_tightest_of_the_groups_around_a_process_counts(machine):
    grant, own = machine
    own.write_text("1:name=systemd:/other\n0::/user/app\n")
    grant("user/app", cpu__max="800000 100000")
    grant("user", cpu__max="400000 100000")
    grant("other", cpu__max="100000 100000")
    assert cores.usable_cores() == 4


def test_the_older_layout_is_read_too(machine):
    grant, own = machine
    own.write_text("4:cpu,cpuacct:/\n")
    grant("cpu", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert cores.usable_cores() == 2
    grant("cpu", cpu__cfs_quota_us="-1")
    assert cores.usable_cores() == 64
