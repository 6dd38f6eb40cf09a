"""Clean finds what nothing needs, and never what a live run, a resume, verify or a report does."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fingpt.config import LoraConfig, RunConfig
from fingpt.errors import MissingInputError, StorageError
from fingpt.record import FileRef, sha256_bytes
from fingpt.runs.chain import KEPT_COMMITS
from fingpt.runs.freeze import create_run
from fingpt.runs.manifest import AdapterManifest, Commit, DatasetManifest, decode, encode
from fingpt.runs.prune import is_live, leftovers, prune, remove
from fingpt.runs.raw import HubRows, hub_key, store_raw
from fingpt.runs.run import (
    Run,
    Stage,
    adapter_manifest_key,
    adapter_prefix,
    commit_key,
    complete_key,
)
from fingpt.runs.verify import require_sound, verify
from fingpt.storage import put
from fingpt.storage.deleting import open_deleter
from tests.made_run import MadeRun

NOW = datetime.now(UTC)
OLD = "01d01d01d01d01d0"
LONG_AGO = NOW - timedelta(days=1)


@pytest.fixture
def deleter(store):
    return open_deleter(store)


@pytest.fixture
def grow_old(tmp_path):
    """Make every object a day old."""

    def apply() -> None:
        then = time.time() - 86400
        for path in (tmp_path / "store").rglob("*"):
            os.utime(path, (then, then))

    return apply


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


def old_data_set(store) -> None:
    """A sound data set that no run names."""
    ref = put(store, f"datasets/{OLD}/train.jsonl", b"x")
    manifest = DatasetManifest(
        id=OLD, source="s", split_rule="published", counts={}, weeks={}, files=(ref,)
    )
    put(store, f"datasets/{OLD}/manifest.json", encode(manifest))


def old_source(store, tmp_path) -> str:
    """Frozen rows that no run and no mirror names."""
    path = tmp_path / "old.jsonl"
    path.write_bytes(b"x")
    return store_raw(store, [("train.jsonl", path)])


def names(found) -> list[str]:
    return [each.prefix for each in found]


def test_a_whole_run_leaves_nothing_to_clean(made, store, deleter, grow_old):
    made.whole()
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_a_checkpoint_that_training_went_back_behind_goes_and_the_run_still_verifies(
    made, store, deleter, grow_old
):
    made.prep()
    for step in (2, 4, 4, 6):
        made.commit(step)
    made.train()
    made.eval()
    grow_old()
    (found,) = leftovers(store, deleter, NOW)
    key = commit_key(made.id, 2)
    assert found.prefix == decode(Commit, store.read(key), key).prefix
    assert remove(store, deleter, found, NOW)
    require_sound(made.id, verify(store, made.id))


def test_checkpoints_outside_the_last_three_commits_go_and_the_run_still_verifies(
    made, store, deleter, grow_old
):
    made.prep()
    for step in (1, 2, 3, 4, 5):
        made.commit(step)
    orphan = made.orphan()
    made.train()
    made.eval()
    grow_old()
    found = list(leftovers(store, deleter, NOW))
    assert orphan in names(found)
    assert [name.rpartition("/")[2][:6] for name in names(found)] == ["000001", "000002", "000099"]
    assert all(remove(store, deleter, each, NOW) for each in found)
    assert not list(store.keys(orphan))
    assert names(leftovers(store, deleter, NOW)) == []
    require_sound(made.id, verify(store, made.id, deep=True))


def test_a_damaged_commit_does_not_count_among_the_three(made, store, deleter, grow_old, tmp_path):
    made.prep()
    for step in (1, 2, 3, 4):
        made.commit(step)
    (tmp_path / "store" / commit_key(made.id, 4)).write_bytes(b"{}")
    grow_old()
    (found,) = leftovers(store, deleter, NOW)
    assert "/000004-" in found.prefix


@pytest.mark.parametrize(
    ("attempt", "live"),
    [
        ({"code": None, "at": NOW}, True),
        ({"code": None, "at": LONG_AGO}, False),
        ({"code": 143, "at": NOW}, False),
    ],
)
def test_a_run_is_live_while_its_heartbeat_is_fresh_and_it_left_no_ending(
    made, store, deleter, grow_old, attempt, live
):
    made.attempt(Stage.TRAIN, 1, **attempt)
    orphan = made.orphan()
    grow_old()
    assert is_live(store, made.id, NOW) is live
    assert (orphan in names(leftovers(store, deleter, NOW))) is not live


def test_a_heartbeat_without_a_time_counts_as_alive(made, store):
    from fingpt.runs.run import heartbeat_key

    made.attempt(Stage.TRAIN, 1, code=None, at=LONG_AGO, beats=0)
    store.create(heartbeat_key(made.id, Stage.TRAIN, 1, 1), b"{}")
    assert is_live(store, made.id, NOW)


def test_a_run_that_came_alive_meanwhile_is_left_alone(made, store, deleter, grow_old):
    orphan = made.orphan()
    grow_old()
    (found,) = leftovers(store, deleter, NOW)
    made.attempt(Stage.TRAIN, 1, code=None, at=NOW)
    assert not remove(store, deleter, found, NOW)
    assert list(store.keys(orphan))


def test_what_is_young_is_left_alone(made, store, deleter):
    made.orphan()
    store.create("datasets/abc/train.jsonl", b"x")
    assert names(leftovers(store, deleter, NOW)) == []


def test_data_sets_and_sources_that_nothing_names_go(made, store, deleter, grow_old, tmp_path):
    made.whole()
    old_data_set(store)
    source = old_source(store, tmp_path)
    store.create(f"probe/{OLD}{OLD}/twice", b"1")
    grow_old()
    found = list(leftovers(store, deleter, NOW))
    assert names(found) == [f"datasets/{OLD}", source, f"probe/{OLD}{OLD}"]
    for each in found:
        remove(store, deleter, each, NOW)
    require_sound(made.id, verify(store, made.id, deep=True))


def foreign_adapter(store, weights: bytes = b"weights") -> str:
    """A sound frozen adapter; gives its prefix."""
    files = [("adapter/adapter_config.json", b"{}"), ("adapter/adapter_model.safetensors", weights)]
    refs = tuple(FileRef(name=n, size=len(d), sha256=sha256_bytes(d)) for n, d in files)
    fields = {"base": "b", "revision": "r", "lora": LoraConfig(), "files": refs}
    prefix = adapter_prefix(AdapterManifest(id="", **fields).files_id)
    for name, data in files:
        store.create(f"{prefix}/{name}", data)
    manifest = AdapterManifest(id=prefix.rpartition("/")[2], **fields)
    store.create(adapter_manifest_key(prefix), encode(manifest))
    return prefix


def evaluating(store, adapter: str) -> Run:
    """A run that names a foreign adapter."""
    settings = {"model": "tiny-llama31", "eval": {"adapter": adapter}}
    run = Run.of(RunConfig.model_validate(settings), {})
    create_run(store, run)
    return run


def test_adapters_made_elsewhere_that_no_run_names_go(made, store, deleter, grow_old):
    made.whole()
    named, other = foreign_adapter(store), foreign_adapter(store, b"other weights")
    evaluating(store, named)
    grow_old()
    (found,) = leftovers(store, deleter, NOW)
    assert (found.prefix, found.reason) == (other, "no run names the adapter")
    assert remove(store, deleter, found, NOW)
    assert [key for key in store.keys("adapters/") if not key.startswith(named)] == []
    assert len(list(store.keys(f"{named}/"))) == 3


def test_adapters_stay_while_any_run_is_at_work_and_while_they_are_young(
    made, store, deleter, grow_old
):
    made.whole()
    grow_old()
    prefix = foreign_adapter(store)
    assert names(leftovers(store, deleter, NOW)) == []
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == [prefix]
    made.attempt(Stage.EVAL, 2, code=None, at=NOW)
    assert names(leftovers(store, deleter, NOW)) == []


def test_an_adapter_that_is_not_sealed_or_not_whole_or_has_company_stays(
    made, store, deleter, grow_old, tmp_path
):
    made.whole()
    prefix = foreign_adapter(store)
    sealed = store.read(adapter_manifest_key(prefix))
    for name, manifest in (("1" * 32, sealed), ("2" * 32, b"{}"), ("3" * 32, b"")):
        store.create(f"adapters/{name}/adapter/adapter_config.json", b"{}")
        if manifest:
            store.create(f"adapters/{name}/manifest.json", manifest)
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == [prefix]
    store.create(f"{prefix}/adapter/optimizer.pt", b"somebody's work")
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


FOREIGN = [
    "datasets/archive/notes.txt",
    f"datasets/{OLD}/my-notes.txt",
    "raw/quarter-3/train.parquet",
    f"raw/{OLD}/thesis.docx",
    "adapters/mine/adapter_model.safetensors",
    "probe/me/twice",
    f"probe/{OLD}{OLD}/results.csv",
]


@pytest.mark.parametrize("key", FOREIGN)
def test_what_others_put_into_our_folders_stays_with_all_beside_it(
    made, store, deleter, grow_old, key
):
    made.whole()
    old_data_set(store)
    store.create(f"raw/{OLD}/train.jsonl", b"x")
    store.create(f"probe/{OLD}{OLD}/twice", b"1")
    store.create(key, b"somebody's work")
    grow_old()
    for each, _ in prune(store, deleter, confirm=True, now=lambda: NOW):
        assert not key.startswith(each.prefix + "/")
    assert store.read(key) == b"somebody's work"
    group = key.rpartition("/")[0]
    assert group.rpartition("/")[2] != OLD or len(list(store.keys(f"{group}/"))) > 1


def test_a_data_set_whose_manifest_is_not_sealed_or_another_s_stays(
    made, store, deleter, grow_old, tmp_path
):
    made.whole()
    old_data_set(store)
    store.create("datasets/fedcba9876543210/manifest.json", b"{}")
    copied = store.read(f"datasets/{OLD}/manifest.json")
    store.create("datasets/0000000000000000/manifest.json", copied)
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == [f"datasets/{OLD}"]


def test_sources_without_a_manifest_of_their_own_name_or_with_more_than_it_names_stay(
    made, store, deleter, grow_old, tmp_path
):
    made.whole()
    source = old_source(store, tmp_path)
    store.create(f"raw/{OLD}/train.jsonl", b"x")
    for prefix, manifest in (("1" * 16, store.read(f"{source}/manifest.json")), ("2" * 16, b"{}")):
        store.create(f"raw/{prefix}/train.jsonl", b"x")
        store.create(f"raw/{prefix}/manifest.json", manifest)
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == [source]
    store.create(f"{source}/test.jsonl", b"somebody's work")
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_a_store_without_runs_is_refused(store, deleter, grow_old):
    old_data_set(store)
    grow_old()
    with pytest.raises(MissingInputError, match=r"There is no run in .*nothing is pruned"):
        list(prune(store, deleter, confirm=True, now=lambda: NOW))
    assert store.exists(f"datasets/{OLD}/train.jsonl")


def test_symbolic_links_in_a_folder_store_are_never_followed(
    made, store, deleter, grow_old, tmp_path
):
    made.whole()
    outside = tmp_path / "outside" / OLD
    outside.mkdir(parents=True)
    (outside / "train.jsonl").write_bytes(b"somebody's work")
    root = tmp_path / "store"
    (root / "raw" / OLD).symlink_to(outside)
    (root / "raw" / "0123456789abcdef").mkdir()
    (root / "raw" / "0123456789abcdef" / "train.jsonl").symlink_to(outside / "train.jsonl")
    (root / "probe").symlink_to(tmp_path / "outside")
    grow_old()
    assert list(prune(store, deleter, confirm=True, now=lambda: NOW)) == []
    for key in (f"raw/{OLD}/train.jsonl", "raw/0123456789abcdef/train.jsonl"):
        with pytest.raises(StorageError, match="symbolic link"):
            deleter.delete(key)
    assert (outside / "train.jsonl").read_bytes() == b"somebody's work"


def test_data_sets_and_sources_stay_while_any_run_is_at_work(made, store, deleter, grow_old):
    old_data_set(store)
    made.attempt(Stage.PREP, 1, code=None, at=NOW)
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_a_data_set_that_only_a_report_names_stays(made, store, deleter, grow_old, tmp_path):
    made.whole()
    (tmp_path / "store" / complete_key(made.id, Stage.PREP)).unlink()
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_with_a_record_that_cannot_be_read_nothing_is_deleted(made, store, deleter, grow_old):
    made.whole()
    store.create("reports/bad/manifest.json", b"{}")
    grow_old()
    with pytest.raises(StorageError, match="reports/bad"):
        list(leftovers(store, deleter, NOW))


def test_base_weights_are_never_found(made, store, deleter, grow_old):
    made.base()
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_rows_that_a_mirror_brought_are_kept_though_no_run_names_them(
    made, store, deleter, grow_old, tmp_path
):
    made.whole()
    raw = old_source(store, tmp_path)
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == [raw]
    rows = HubRows(source="hub:a/b@main", commit="c" * 40, raw=raw, files=())
    store.create(hub_key("a/b", "main"), encode(rows))
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_pruning_deletes_only_when_confirmed(made, store, deleter, grow_old):
    orphan = made.orphan()
    grow_old()
    ((found, deleted),) = prune(store, deleter, confirm=False, now=lambda: NOW)
    assert (found.prefix, deleted) == (orphan, False)
    assert list(store.keys(orphan))
    ((found, deleted),) = prune(store, deleter, confirm=True, now=lambda: NOW)
    assert (found.prefix, deleted) == (orphan, True)
    assert not list(store.keys(orphan))


def test_pruning_keeps_what_is_needed_again_at_the_second_look(made, store, deleter, grow_old):
    orphan = made.orphan()
    grow_old()
    looks = []

    def now():
        looks.append(1)
        if len(looks) == 2:
            made.attempt(Stage.TRAIN, 1, code=None, at=NOW)
        return NOW

    assert list(prune(store, deleter, confirm=True, now=now)) == []
    assert list(store.keys(orphan))


def test_the_documents_name_as_many_kept_commits_as_there_are():
    words = {3: "three"}[KEPT_COMMITS]
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert text.count(f"last {words}") == 2
