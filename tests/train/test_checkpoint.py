from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fingpt.errors import DataError, FencedError, NoSpaceError
from fingpt.record import sha256_bytes
from fingpt.runs.manifest import Commit, decode, encode
from fingpt.runs.run import commit_key
from fingpt.train.checkpoint import CheckpointLog
from tests.full_disk import full_disk

CONTEXT = {"config": "c" * 64, "base": "b" * 64, "template": "t" * 64, "data_set": "d" * 64}
RUN = "tiny-llama31-00000000"


@pytest.fixture
def log(store) -> CheckpointLog:
    return CheckpointLog(store, RUN, CONTEXT, "here")


def again(store, machine: str = "here", **changes: str) -> CheckpointLog:
    return CheckpointLog(store, RUN, {**CONTEXT, **changes}, machine)


def state(folder: Path, step: int) -> Path:
    made = folder / f"made-{step}"
    made.mkdir()
    (made / "adapter_model.safetensors").write_bytes(b"weights" + bytes([step]) * 100)
    (made / "engine.json").write_bytes(b'{"step":%d}' % step)
    return made


def stored(store, tmp_path: Path, n: int, name: str) -> Path:
    key = commit_key(RUN, n)
    return tmp_path / "store" / decode(Commit, store.read(key), key).prefix / name


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_without_commits_there_is_nothing_to_resume(log, tmp_path):
    assert log.newest(tmp_path / "back") is None


def test_the_newest_commit_comes_back_byte_for_byte(log, store, tmp_path):
    for step in (2, 4):
        log.commit(step, state(tmp_path, step))
    resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert (resume.step, resume.same_machine) == (4, True)
    for path in (tmp_path / "made-4").iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_each_commit_names_the_hash_of_the_one_before(log, store, tmp_path):
    commits = [log.commit(step, state(tmp_path, step)) for step in range(1, 6)]
    assert [commit.n for commit in commits] == [1, 2, 3, 4, 5]
    for commit in commits[1:]:
        assert commit.previous == sha256_bytes(store.read(commit_key(RUN, commit.n - 1)))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "engine.json"])
def test_a_flipped_byte_in_the_newest_commit_is_skipped(log, store, tmp_path, name, caplog):
    for step in (2, 4):
        log.commit(step, state(tmp_path, step))
    flip(stored(store, tmp_path, 2, name))
    with caplog.at_level("WARNING", logger="fingpt"):
        resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert resume.step == 2
    assert (tmp_path / "back" / "engine.json").read_bytes() == b'{"step":2}'


def test_a_flipped_byte_in_a_commit_record_is_skipped(log, store, tmp_path):
    for step in (2, 4):
        log.commit(step, state(tmp_path, step))
    flip(tmp_path / "store" / commit_key(RUN, 2))
    resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert resume.step == 2


def test_a_file_that_is_gone_is_skipped(log, store, tmp_path):
    for step in (2, 4):
        log.commit(step, state(tmp_path, step))
    stored(store, tmp_path, 2, "engine.json").unlink()
    resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert resume.step == 2


def test_a_full_disk_is_no_damage_of_a_checkpoint(log, store, tmp_path):
    for step in (2, 4):
        log.commit(step, state(tmp_path, step))
    with full_disk(), pytest.raises(NoSpaceError, match=r"No space left for .*back"):
        again(store).newest(tmp_path / "back")
    resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert resume.step == 4


def test_when_nothing_verifies_training_starts_again(log, store, tmp_path):
    log.commit(2, state(tmp_path, 2))
    flip(stored(store, tmp_path, 1, "engine.json"))
    assert again(store).newest(tmp_path / "back") is None


def test_the_log_goes_on_behind_a_damaged_commit(log, store, tmp_path):
    for step in (2, 4):
        log.commit(step, state(tmp_path, step))
    flip(tmp_path / "store" / commit_key(RUN, 2))
    assert again(store).commit(5, state(tmp_path, 5)).n == 3


@pytest.mark.parametrize("key", sorted(CONTEXT))
def test_a_checkpoint_of_another_origin_is_refused(log, store, tmp_path, key):
    log.commit(2, state(tmp_path, 2))
    with pytest.raises(DataError, match=f"another {key.replace('_', ' ')}"):
        again(store, **{key: "x" * 64}).newest(tmp_path / "back")


def test_another_machine_may_continue_but_is_told_apart(log, store, tmp_path):
    log.commit(2, state(tmp_path, 2))
    resume = again(store, machine="elsewhere").newest(tmp_path / "back")
    assert resume is not None
    assert not resume.same_machine


def test_of_two_writers_the_second_is_fenced(log, store, tmp_path):
    other = again(store)
    log.commit(2, state(tmp_path, 2))
    with pytest.raises(FencedError, match="Another process"):
        other.commit(3, state(tmp_path, 3))


def test_a_commit_behind_a_newer_claim_is_not_written(store, tmp_path):
    def fence():
        raise FencedError("taken over")

    fenced = CheckpointLog(store, RUN, CONTEXT, "here", fence)
    with pytest.raises(FencedError, match="taken over"):
        fenced.commit(2, state(tmp_path, 2))
    assert not store.exists(commit_key(RUN, 1))


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_beside_a_checkpoint_is_never_loaded(log, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commit = log.commit(2, state(tmp_path, 2))
    for name in ("optimizer.pt", "rng_state.pth", "training_args.bin"):
        store.create(f"{commit.prefix}/{name}", pickle.dumps(Bomb()))
    assert again(store).newest(tmp_path / "back") is not None
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [
        "adapter_model.safetensors",
        "engine.json",
    ]
    assert not Path("exploded").exists()


def test_a_commit_that_names_a_pickle_is_skipped(log, store, tmp_path):
    log.commit(2, state(tmp_path, 2))
    made = state(tmp_path, 4)
    (made / "optimizer.pt").write_bytes(pickle.dumps(Bomb()))
    log.commit(4, made)
    resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert resume.step == 2
    assert not list((tmp_path / "back").glob("*.pt"))


def test_a_commit_under_the_wrong_number_is_skipped(log, store, tmp_path):
    first = log.commit(2, state(tmp_path, 2))
    store.create(commit_key(RUN, 2), encode(first))
    resume = again(store).newest(tmp_path / "back")
    assert resume is not None
    assert resume.step == 2


def test_neither_body_nor_checkpoints_need_torch():
    import subprocess
    import sys

    code = "import sys, fingpt.train.stage, fingpt.train.checkpoint; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
