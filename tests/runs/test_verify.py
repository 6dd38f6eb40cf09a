"""Verify finds every flipped byte and every missing object of a run's chain, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fingpt.errors import MissingInputError, StorageError
from fingpt.models import spec
from fingpt.record import canonical_json
from fingpt.runs.run import FROZEN, Stage, commit_key, complete_key, run_key
from fingpt.runs.verify import LinkStatus, require_sound, verify
from tests.made_run import MODEL, MadeRun

ATTEMPT_RECORDS = (FROZEN, "/claims/", "/heartbeats/", "/attempts/")


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path).whole()


def exit_code(links) -> int:
    """What `make verify` ends with."""
    try:
        require_sound("llama31-00000000", links)
    except (MissingInputError, StorageError) as fault:
        return fault.exit_code
    return 0


def evidence(store) -> list[str]:
    return [key for key in store.keys("") if not any(part in key for part in ATTEMPT_RECORDS)]


def test_a_sound_run_has_only_sound_links(made, store):
    links = verify(store, made.id, deep=True)
    assert exit_code(links) == 0
    assert {link.status for link in links} == {LinkStatus.OK}
    assert {link.key for link in links} == set(evidence(store))


def test_without_deep_the_base_s_files_are_named_as_not_hashed(made, store):
    links = verify(store, made.id)
    skipped = [link.key for link in links if link.status is LinkStatus.SKIPPED]
    assert exit_code(links) == 0
    assert sorted(skipped) == sorted(
        f"{spec(MODEL).base_prefix}/{name}"
        for name in ("config.json", "tokenizer.json", "model.safetensors")
    )


@pytest.mark.parametrize("places", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found_wherever_it_is(made, store, tmp_path, places):
    root = tmp_path / "store"
    for key in evidence(store):
        path: Path = root / key
        whole = path.read_bytes()
        # Enough places to meet names, values, numbers and seals.
        for place in range(len(whole) // 3, len(whole), max(1, len(whole) // places)):
            for bit in (1, 32):  # 32 turns e into E, which JSON reads as the same number
                flipped = bytearray(whole)
                flipped[place] ^= bit
                path.write_bytes(flipped)
                assert exit_code(verify(store, made.id, deep=True)) == 74, (key, place, bit)
        path.write_bytes(whole)
    assert exit_code(verify(store, made.id, deep=True)) == 0


def test_every_object_that_is_gone_is_named(made, store, tmp_path):
    root = tmp_path / "store"
    for key in evidence(store):
        if key.startswith("reports/") and key.endswith("manifest.json"):
            continue  # a report without its manifest does not exist
        if "/commits/000003" in key or key == run_key(made.id):
            continue  # the last commit never happened; a run without run.json is no run
        path = root / key
        whole = path.read_bytes()
        path.unlink()
        links = verify(store, made.id, deep=True)
        assert exit_code(links) in (66, 74), key
        assert any(
            link.status is not LinkStatus.OK
            and (key in link.key or link.key in key or link.key.startswith("raw/"))
            for link in links
        ), key
        path.write_bytes(whole)


def test_a_commit_that_was_resealed_after_a_change_breaks_the_chain(made, store, tmp_path):
    from fingpt.runs.manifest import Commit, decode, encode

    key = commit_key(made.id, 2)
    commit = decode(Commit, store.read(key), key)
    (tmp_path / "store" / key).write_bytes(encode(commit.model_copy(update={"step": 9})))
    damaged = [link for link in verify(store, made.id) if link.status is LinkStatus.DAMAGED]
    assert [link.key for link in damaged] == [commit_key(made.id, 3)]
    assert "commit 2" in damaged[0].message


def test_a_manifest_that_was_resealed_no_longer_is_what_its_readers_read(made, store, tmp_path):
    from fingpt.runs.manifest import TrainManifest, decode, encode

    key = complete_key(made.id, Stage.TRAIN)
    manifest = decode(TrainManifest, store.read(key), key)
    better = manifest.model_copy(update={"eval_loss": 0.1})
    (tmp_path / "store" / key).write_bytes(encode(better))
    damaged = [link for link in verify(store, made.id) if link.status is LinkStatus.DAMAGED]
    assert key in {link.key for link in damaged}
    assert complete_key(made.id, Stage.EVAL) in damaged[0].message


def test_older_checkpoints_may_be_collected_and_the_newest_three_may_not(store, tmp_path):
    made = MadeRun(store, tmp_path)
    made.prep()
    for step in (2, 4, 6, 8):
        made.commit(step)
    made.train()
    made.eval()
    found = sorted(key for key in store.keys("runs/") if "/ckpt/" in key)
    for key in found[:2]:
        (tmp_path / "store" / key).unlink()
    assert exit_code(verify(store, made.id)) == 0
    (tmp_path / "store" / found[2]).unlink()
    assert exit_code(verify(store, made.id)) == 66


@pytest.fixture
def went_back(store, tmp_path) -> MadeRun:
    """A run whose second checkpoint was damaged, so that training went on from the first."""
    made = MadeRun(store, tmp_path)
    made.prep()
    for step in (2, 4):
        made.commit(step)
    (damaged,) = [key for key in store.keys("runs/") if "/ckpt/000004" in key and "adapter" in key]
    (tmp_path / "store" / damaged).write_bytes(b"other bytes")
    made.damaged = damaged
    for step in (4, 6):
        made.commit(step)
    made.train()
    made.eval()
    return made


def test_a_damaged_checkpoint_that_training_went_back_behind_is_superseded(went_back, store):
    links = verify(store, went_back.id)
    assert exit_code(links) == 0
    (link,) = [link for link in links if link.status is LinkStatus.SUPERSEDED]
    assert link.key == went_back.damaged
    assert "nothing rests on" in link.message
    assert "1 superseded" in require_sound(went_back.id, links)


def test_what_is_left_of_a_superseded_checkpoint_may_be_gone(went_back, store, tmp_path):
    (tmp_path / "store" / went_back.damaged).unlink()
    assert exit_code(verify(store, went_back.id)) == 0


def test_a_record_that_was_damaged_before_the_next_commit_is_superseded(store, tmp_path):
    made = MadeRun(store, tmp_path)
    made.prep()
    for step in (2, 4):
        made.commit(step)
    (tmp_path / "store" / commit_key(made.id, 2)).write_bytes(b"{}")
    made.commit(6)
    made.train()
    made.eval()
    links = verify(store, made.id)
    assert exit_code(links) == 0
    assert [x.key for x in links if x.status is LinkStatus.SUPERSEDED] == [commit_key(made.id, 2)]


def test_an_unfinished_run_says_which_stage_is_missing(store, tmp_path):
    made = MadeRun(store, tmp_path)
    made.prep()
    made.base()
    links = verify(store, made.id)
    assert exit_code(links) == 66
    missing = [link for link in links if link.status is LinkStatus.MISSING]
    assert {link.key for link in missing} == {
        complete_key(made.id, stage) for stage in (Stage.TRAIN, Stage.EVAL)
    }
    assert "has not finished" in missing[0].message


def test_damage_outweighs_absence(store, tmp_path):
    made = MadeRun(store, tmp_path)
    made.prep()
    (tmp_path / "store" / made.run.config.prep.source / "test.jsonl").write_bytes(b"other")
    assert exit_code(verify(store, made.id)) == 74


def test_another_run_s_damage_is_not_this_one_s(made, store, tmp_path):
    other = MadeRun(store, tmp_path, seed=7, rows="others").whole()
    (tmp_path / "store" / complete_key(other.id, Stage.EVAL)).write_bytes(b"{}")
    assert exit_code(verify(store, made.id)) == 0
    assert exit_code(verify(store, other.id)) == 74


def test_links_are_said_as_they_are_found(made, store):
    said = []
    assert tuple(said) == () != verify(store, made.id, on_link=said.append) == tuple(said)


def test_a_run_that_is_not_there_is_a_missing_input(store):
    with pytest.raises(MissingInputError):
        verify(store, "tiny-llama31-00000000")


def test_numbers_written_another_way_are_other_bytes(made, store, tmp_path):
    path = tmp_path / "store" / run_key(made.id)
    data = path.read_bytes()
    assert b'"lr":0.0002' in data
    path.write_bytes(data.replace(b'"lr":0.0002', b'"lr":2.0E-4'))
    assert canonical_json({}) == b"{}"
    assert exit_code(verify(store, made.id)) == 74


def test_a_commit_of_an_absurd_number_is_one_gap_and_not_endless_lines(made, store):
    store.create(f"runs/{made.id}/train/commits/999999999.json", b"{}")
    links = verify(store, made.id)
    wrong = [link for link in links if link.status in (LinkStatus.MISSING, LinkStatus.DAMAGED)]
    assert [link.key.rpartition("/")[2] for link in wrong] == ["000004.json", "999999999.json"]
    assert "999,999,995 up to number 999999998 are missing" in wrong[0].message


def test_what_is_no_number_among_the_commits_is_left_alone(made, store):
    for name in ("x.json", "1.json", f"{'9' * 60}.json", "٠٠٠٠٠٩.json"):
        store.create(f"runs/{made.id}/train/commits/{name}", b"{}")
    assert exit_code(verify(store, made.id, deep=True)) == 0


def forget_the_whole_hash(made, folder):
    """run.json as it was written before it held the whole hash."""
    path = folder / "store" / run_key(made.id)
    fields = json.loads(path.read_bytes())
    del fields["sha256"]
    path.write_bytes(canonical_json(fields))


def test_a_run_frozen_before_run_json_held_the_whole_hash_verifies(made, store, tmp_path):
    forget_the_whole_hash(made, tmp_path)
    links = [link for link in verify(store, made.id) if not link.key.startswith("reports/")]
    assert next(link for link in links if link.key == run_key(made.id)).status is LinkStatus.OK


@pytest.fixture
def early(made, store, tmp_path):
    """A run from before source files had a manifest."""
    forget_the_whole_hash(made, tmp_path)
    (tmp_path / "store" / made.run.config.prep.source / "manifest.json").unlink()
    return made


def test_a_run_frozen_before_sources_had_a_manifest_verifies_and_says_so(early, store):
    source = early.run.config.prep.source
    links = {link.key: link for link in verify(store, early.id)}
    assert exit_code(links.values()) == 0
    assert links[f"{source}/manifest.json"].status is LinkStatus.SKIPPED
    assert "before source files had one" in links[f"{source}/manifest.json"].message
    for name in ("train.jsonl", "test.jsonl"):
        assert links[f"{source}/{name}"].status is LinkStatus.OK


def test_its_source_files_still_have_to_be_those_that_were_frozen(early, store, tmp_path):
    folder = tmp_path / "store" / early.run.config.prep.source
    whole = (folder / "test.jsonl").read_bytes()
    (folder / "test.jsonl").write_bytes(whole[:-2] + b"?\n")
    assert exit_code(verify(store, early.id)) == 74
    (folder / "test.jsonl").unlink()
    assert exit_code(verify(store, early.id)) == 74
    (folder / "train.jsonl").unlink()
    (link,) = [x for x in verify(store, early.id) if x.status is LinkStatus.MISSING]
    assert (link.key, link.message) == (
        early.run.config.prep.source,
        "the source files are not in the store",
    )


def test_a_run_of_today_whose_sources_have_no_manifest_is_incomplete(made, store, tmp_path):
    source = made.run.config.prep.source
    (tmp_path / "store" / source / "manifest.json").unlink()
    links = verify(store, made.id)
    assert exit_code(links) == 66
    (link,) = [link for link in links if link.status is LinkStatus.MISSING]
    assert link.key == f"{source}/manifest.json"
    assert "the record of the source files is not in the store" in link.message
