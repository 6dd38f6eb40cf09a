"""The tokens of an epoch are those that a training counts; they are counted once."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import DataError, StorageError
from fingpt.models import spec
from fingpt.prompts.examples import Example, encode_jsonl
from fingpt.record import sha256_bytes
from fingpt.runs.manifest import BaseManifest, DatasetManifest, encode
from fingpt.runs.run import (
    Run,
    Stage,
    base_manifest_key,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
)
from fingpt.storage import put
from fingpt.sweeps.epoch import Epoch, epoch_key, study_epoch
from tests.sweeps.invented_study import prep_manifest

MODEL = spec("tiny-llama31")
MARKS = "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|>"
BASE = RunConfig(model=MODEL.key)
RUN = Run.of(BASE, {})


def example(number: int) -> Example:
    answer = f"up {number}"
    return Example(
        system="s",
        user=f"ask {number}",
        answer=answer,
        symbol="ACME",
        period="2024-01-01 to 2024-01-08",
        label="up by 1-2%",
        prompt="",
        raw_answer=answer,
    )


@pytest.fixture
def bucket(store):
    """A prepared run of four rows, and a base whose tokenizer knows bytes alone."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS.split()])
    ref = put(store, f"{MODEL.base_prefix}/tokenizer.json", tokenizer.to_str().encode())
    weights = ref.model_copy(update={"name": "model.safetensors"})  # whose bytes are nowhere
    base = BaseManifest(base=MODEL.base, revision=MODEL.revision, files=(weights, ref))
    put(store, base_manifest_key(MODEL.base_prefix), encode(base))
    rows = put(
        store, f"{dataset_prefix('d')}/train.jsonl", encode_jsonl([example(n) for n in range(4)])
    )
    test = rows.model_copy(update={"name": "test.jsonl"})  # whose bytes are nowhere, too
    dataset = encode(
        DatasetManifest(
            id="d", source="x", split_rule="x", counts={"train": 4}, weeks={}, files=(rows, test)
        )
    )
    put(store, dataset_manifest_key("d"), dataset)
    prep = prep_manifest(RUN).model_copy(update={"dataset_sha256": sha256_bytes(dataset)})
    put(store, complete_key(RUN.id, Stage.PREP), encode(prep))
    return store


def test_an_epoch_is_counted_from_the_train_rows_and_the_tokenizer_alone(bucket):
    found = study_epoch(bucket, "s", BASE, RUN)
    bytes_of_a_row = len("s") + len("ask 0") + len("up 0")
    template = 4 * len(
        MARKS.split()
    )  # marks, roles and line breaks of the family's template, at least
    assert (found.dataset, found.rows) == ("d", 4)
    assert found.tokens % 4 == 0
    assert found.tokens >= 4 * (bytes_of_a_row + template)


def test_an_epoch_is_counted_once(bucket, monkeypatch):
    first = study_epoch(bucket, "s", BASE, RUN)
    monkeypatch.setattr("fingpt.sweeps.epoch._count", lambda *_: pytest.fail("counted again"))
    assert study_epoch(bucket, "s", BASE, RUN) == first


def test_a_torn_count_is_named(bucket):
    key = epoch_key("s", MODEL.key)
    bucket.create(key, b'{"rows": 4}')
    with pytest.raises(StorageError, match=key):
        study_epoch(bucket, "s", BASE, RUN)


def test_another_data_set_under_the_same_name_is_refused(bucket):
    other = Run.of(RunConfig(model=MODEL.key, seed=1), {})
    put(bucket, complete_key(other.id, Stage.PREP), encode(prep_manifest(other)))
    with pytest.raises(DataError, match="is not the one that prep"):
        study_epoch(bucket, "s", BASE, other)


def test_a_training_s_tokens_follow_from_its_steps():
    epoch = Epoch(dataset="d", rows=160, tokens=1000)
    assert epoch.of(RunConfig(model="llama31", train=TrainConfig(epochs=2))) == 2000
    assert epoch.of(RunConfig(model="llama31", train=TrainConfig(max_steps=5))) == 500
