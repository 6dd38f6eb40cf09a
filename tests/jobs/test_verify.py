"""verify at the command line: every link on stdout, and the exit code of what it found."""

from __future__ import annotations

import json

import pytest

from fingpt.runs.run import Stage, stage_prefix
from tests.jobs.commands import command
from tests.made_run import MadeRun


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path / "scratch").whole()


def test_a_sound_run_exits_0_and_names_every_link(made, tmp_path):
    done = command(tmp_path, "verify", "--run", made.id, "--deep", "--json")
    assert done.returncode == 0, done.stderr
    links = [json.loads(line) for line in done.stdout.splitlines()]
    assert {link["status"] for link in links} == {"ok"}
    assert links[0]["key"] == f"runs/{made.id}/run.json"


@pytest.mark.parametrize(("damage", "code"), [("flip", 74), ("remove", 66)])
def test_damage_and_absence_have_their_own_exit_codes(made, tmp_path, damage, code):
    key = f"{stage_prefix(made.id, Stage.TRAIN)}/adapter/adapter_model.safetensors"
    path = tmp_path / "store" / key
    if damage == "flip":
        path.write_bytes(b"X" + path.read_bytes()[1:])
    else:
        path.unlink()
    done = command(tmp_path, "verify", "--run", made.id)
    assert done.returncode == code
    assert any(key in line and not line.startswith("ok") for line in done.stdout.splitlines())
    assert made.id in done.stderr
