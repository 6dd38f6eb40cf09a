"""What an evaluation says to do about a stored object works when it is done to the letter, whatever the engine."""

from __future__ import annotations

import json

import pytest

from fingpt.errors import SetupError, StorageError
from fingpt.eval import variant
from fingpt.eval.stage import body
from fingpt.runs.manifest import EngineChoice, encode
from fingpt.runs.run import Stage, engine_key, stage_prefix
from tests.eval.test_engine import vllm
from tests.eval.test_foreign_stage import submit

__all__ = ["vllm"]

OBJECTS = (
    "engine.json",
    "labels/base/prior-0000.timing.json",
    "labels/tuned/test-0000.jsonl",
    "losses/base.json",
    "predictions/base/0000.timing.json",
    "predictions/tuned/0001.jsonl",
)
"""One of each kind."""


@pytest.fixture(params=["auto", "vllm"])
def interrupted(world, vllm, monkeypatch, request):
    """A run whose evaluation was killed before its table: its folder below the store."""
    monkeypatch.setattr(variant, "ANSWER_ROWS", 3)
    run = world.run(request.param)
    body(world.context(run))
    folder = world.folder / "store" / stage_prefix(run.id, Stage.EVAL)
    (folder / "scores.parquet").unlink()
    return world, run, folder


def contents(folder):
    """What is stored, without the seconds that making it took."""
    found = {}
    for path in sorted(folder.rglob("*.json*")):
        found[str(path.relative_to(folder))] = path.read_bytes()
        if path.suffix == ".json":
            values = json.loads(path.read_bytes())
            found[str(path.relative_to(folder))] = {
                name: value for name, value in values.items() if name not in ("seconds", "seal")
            }
    return found


def edit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_edited_object_is_named_and_deleting_it_alone_is_enough(interrupted, name):
    world, run, folder = interrupted
    before = contents(folder)
    edit(folder / name)
    with pytest.raises(StorageError, match="delete it and") as told:
        body(world.context(run, "edited"))
    assert str(told.value).startswith(f"{stage_prefix(run.id, Stage.EVAL)}/{name} ")
    (folder / name).unlink()
    manifest = body(world.context(run, "again"))
    assert contents(folder) == before
    assert name in {file.name for file in manifest.files}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_lost_object_is_made_again(interrupted, name):
    world, run, folder = interrupted
    before = contents(folder)
    (folder / name).unlink()
    body(world.context(run, "again"))
    assert contents(folder) == before


def test_a_table_with_other_bytes_is_never_replaced_and_once_removed_is_made_again(interrupted):
    world, run, folder = interrupted
    table = folder / "scores.parquet"
    table.write_bytes(b"of another")
    with pytest.raises(StorageError, match="find out who wrote it before removing it"):
        body(world.context(run, "other"))
    assert table.read_bytes() == b"of another"
    table.unlink()
    assert "scores.parquet" in {file.name for file in body(world.context(run, "again")).files}


def test_an_edited_manifest_of_a_foreign_adapter_is_made_by_the_same_command(world, adapter_folder):
    run = submit(world, adapter_folder)
    path = world.folder / "store" / str(run.config.eval.adapter) / "manifest.json"
    edit(path)
    with pytest.raises(StorageError, match=r"manifest\.json .* delete it and give the command"):
        body(world.context(run))
    path.unlink()
    assert submit(world, adapter_folder) == run
    assert body(world.context(run, "again")).scores["tuned"].n == 7


def test_answers_begun_with_another_vllm_can_be_begun_anew(world, vllm):
    run = world.run("vllm")
    made = EngineChoice(engine="vllm", version="0.20.0", why="asked for", answer_rows=320)
    world.store.create(engine_key(run.id), encode(made))
    prefix = stage_prefix(run.id, Stage.EVAL)
    with pytest.raises(SetupError, match=f"delete all below {prefix}/ and run eval again"):
        body(world.context(run))
    for key in list(world.store.keys(prefix)):
        (world.folder / "store" / key).unlink()
    assert body(world.context(run, "again")).hardware["engine"] == "vllm 0.33.0 (asked for)"
