"""The whole stage on a small world: what it writes, what it refuses, and how it goes on after an interruption."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError, Interrupted, MissingInputError, StorageError
from fingpt.eval import model, stage, variant
from fingpt.eval.stage import body
from fingpt.record import sha256_bytes
from fingpt.runs import openings
from fingpt.runs.manifest import encode
from fingpt.runs.run import Stage, complete_key, stage_prefix


def table_of(world, run):
    data = world.store.read(f"{stage_prefix(run.id, Stage.EVAL)}/scores.parquet")
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_a_run_leaves_a_table_and_a_manifest_that_agree(world):
    run = world.run()
    manifest = body(world.context(run))
    rows = table_of(world, run)
    assert [row["variant"] for row in rows] == ["base"] * 7 + ["tuned"] * 7
    for name, scores in manifest.scores.items():
        mine = [row for row in rows if row["variant"] == name]
        assert scores.n == len(mine) == 7
        assert scores.loss == pytest.approx(
            sum(r["nll"] for r in mine) / sum(r["answer_tokens"] for r in mine)
        )
        assert scores.robust.parsed == sum(row["parsed"] for row in mine)
        assert scores.samples_per_second == pytest.approx(7 / sum(row["seconds"] for row in mine))
        assert set(scores.seconds) == {"load", "loss", "generate", "score"}
        assert scores.train_loss is not None
    assert manifest.scores["base"].loss != manifest.scores["tuned"].loss
    assert rows[0]["failure"] == "no prediction"
    assert (rows[0]["week"], rows[1]["truth"]) == ("2024-01-07", 2.5)
    for file in manifest.files:
        stored = world.store.read(f"{stage_prefix(run.id, Stage.EVAL)}/{file.name}")
        assert (len(stored), sha256_bytes(stored)) == (file.size, file.sha256)
    assert encode(manifest)


def test_an_evaluation_that_was_interrupted_ends_with_the_same_bytes(world, monkeypatch):
    run = world.run()
    real, calls = variant.generate_batch, []

    def stop_after_two(*args):
        if len(calls) == 2:
            raise Interrupted("stopped")
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(variant, "generate_batch", stop_after_two)
    with pytest.raises(Interrupted):
        body(world.context(run))
    before = {
        key: world.store.read(key) for key in world.store.keys(stage_prefix(run.id, Stage.EVAL))
    }
    monkeypatch.setattr(variant, "generate_batch", lambda *args: calls.append(args) or real(*args))
    manifest = body(world.context(run, "again"))
    assert len(calls) == 6  # 7 rows in batches of 3, two variants: none was made twice
    assert all(world.store.read(key) == data for key, data in before.items())
    again = body(world.context(run, "third"))
    assert again.files == manifest.files
    assert len(calls) == 6
    assert openings.count(world.store, manifest.dataset) == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"base": "someone/else@v1"}, "another base model"),
        ({"base_sha256": "0" * 64}, "another base weights"),
        ({"template_sha256": "0" * 64}, "another chat template"),
        ({"dataset": "other"}, "another data set"),
        ({"files": ()}, "no adapter file"),
    ],
)
def test_an_adapter_that_does_not_belong_here_is_refused_before_weights_load(
    world, monkeypatch, changes, what
):
    monkeypatch.setattr(variant, "open_base", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(DataError, match=what):
        body(world.context(world.run(**changes)))


def test_a_stage_that_has_not_run_is_named(world):
    run = world.run()
    key = complete_key(run.id, Stage.TRAIN)
    (world.folder / "store" / key).unlink()
    with pytest.raises(MissingInputError, match="train"):
        body(world.context(run))


def test_a_flipped_byte_in_a_stored_chunk_ends_with_one_sentence(world):
    run = world.run()
    body(world.context(run))
    key = f"{stage_prefix(run.id, Stage.EVAL)}/predictions/tuned/0001.jsonl"
    path = world.folder / "store" / key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"0001\.jsonl .*delete it and run eval again"):
        body(world.context(run, "again"))


def test_an_adapter_with_a_pickle_is_not_loaded(world, tmp_path, base_folder):
    import torch

    folder = tmp_path / "alien"
    folder.mkdir()
    (folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"adapter_model\.bin"):
        model.load(base_folder, folder, torch.device("cpu"), torch.float32)


def test_an_adapter_of_another_shape_is_refused(world, tmp_path, adapter_folder, small_model):
    import torch
    from transformers import LlamaForCausalLM

    config = small_model.config.__class__(
        **{**small_model.config.to_dict(), "hidden_size": 32, "head_dim": 8}
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")
    with pytest.raises(DataError, match="does not fit the base"):
        model.load(tmp_path / "wide", adapter_folder, torch.device("cpu"), torch.float32)


def test_without_the_base_only_the_tuned_variant_is_scored(world):
    run = world.run()
    settings = run.config.eval.model_copy(update={"include_base": False})
    context = world.context(run)
    context.run = run.model_copy(
        update={"config": run.config.model_copy(update={"eval": settings})}
    )
    assert list(stage.body(context).scores) == ["tuned"]
