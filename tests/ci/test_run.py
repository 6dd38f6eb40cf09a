"""CI's list (.ci/run) with programs that do nothing: what it calls, in which turn, with a cluster beside it or none."""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# macOS has bash 3, and no user runs these scripts: nothing of the product goes untested there.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CI runs on Linux, with bash 5.")

ROOT = Path(__file__).parents[2]
CALLED = '#!/bin/sh\necho "$(basename "$0") $*" >>"$CALLS"\n'
ENGINE = '[ "$1" != env ] || echo true\n'
ADDONS = ("jobset", "kueue")


@pytest.fixture
def checkout(tmp_path):
    """A checkout that holds CI's files alone, and programs that only note how they were called."""
    folder, programs = tmp_path / "checkout", tmp_path / "programs"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    programs.mkdir()
    for name in ("make", "kind", "docker", *ADDONS, "versitygw", "minio", "git"):
        write(programs / name, CALLED)
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def ci(checkout: Path, commit: str) -> tuple[int, str, list[str]]:
    """Exit code, all that was said, and what was called."""
    programs, calls = checkout.parent / "programs", checkout.parent / "calls"
    write(programs / "git", f"#!/bin/sh\necho {commit}\n")
    calls.touch()
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "TMPDIR": str(checkout.parent),
        "HOME": str(checkout.parent),
        "CI": "true",
    }
    done = subprocess.run(
        [checkout / ".ci" / "run"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, calls.read_text().splitlines()


def test_alone_it_runs_what_needs_no_cluster_and_says_what_it_leaves_out(checkout):
    code, said, calls = ci(checkout, "0" * 40)
    assert code == 0, said
    assert [call for call in calls if not call.startswith("make ")] == []
    made = "setup lint types merges test demo test-slow".split()
    assert [call.split()[1] for call in calls] == made
    left_out = [
        line.split(" - ")[0].strip() for line in said.splitlines() if " -  left out" in line
    ]
    assert left_out == ["published rows", "images, chart, runs in pods, faults"]


@pytest.mark.parametrize(
    ("commit", "turn"), [("0" * 40, 1), ("00000001" * 5, 2), ("fffffffe" * 5, 5)]
)
def test_with_a_cluster_beside_it_core_and_one_part_are_tried(checkout, commit, turn):
    beside = checkout.parent / "shared" / "cluster"
    write(beside / "cluster", f"{CALLED}{ENGINE}")
    write(beside / "scratch_image.py", "")
    (beside / "manifests").mkdir()
    for name in ADDONS:
        manifest = lzma.compress(f"        image: registry.example/{name}:v1\n".encode())
        (beside / "manifests" / f"{name}.yaml.xz").write_bytes(manifest)
    code, said, calls = ci(checkout, commit)
    assert code == 0, said
    assert f"it gets part {turn} of 5" in said
    assert f"make test-slow PART={turn}" in calls
    assert f"make e2e PART=core {turn}" in calls
    order = [call.split()[1] for call in calls if call.startswith("make ")]
    cluster = "images chart scan kind-up kind-up kind-e2e kind-test e2e kind-down".split()
    assert [each for each in order if each in cluster] == cluster
    assert order.index("demo") < order.index("kind-test")
    assert calls[-1] == "kind delete cluster --name fingpt"
