"""Manifests are sealed: any changed byte is seen."""

from datetime import date

import pytest

from fingpt.errors import StorageError
from fingpt.record import FileRef, canonical_json, sha256_bytes
from fingpt.runs.manifest import (
    BaseManifest,
    Commit,
    DatasetManifest,
    ParserScores,
    TrainManifest,
    VariantScores,
    decode,
    encode,
)

MANIFEST = BaseManifest(
    base="owner/name", revision="v1", files=(FileRef(name="a.json", size=3, sha256="00"),)
)


def test_a_sealed_manifest_reads_back():
    assert decode(BaseManifest, encode(MANIFEST), "key") == MANIFEST


def test_every_flipped_byte_is_found():
    data = encode(MANIFEST)
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(StorageError, match="models/key"):
            decode(BaseManifest, flipped, "models/key")


def test_a_manifest_of_another_kind_is_refused():
    with pytest.raises(StorageError, match="Commit"):
        decode(Commit, encode(MANIFEST), "key")


def test_the_identity_of_weights_covers_names_and_bytes():
    renamed = MANIFEST.model_copy(update={"files": (FileRef(name="b.json", size=3, sha256="00"),)})
    assert renamed.sha256 != MANIFEST.sha256


def test_the_bytes_of_a_stored_training_never_change():
    manifest = TrainManifest(
        run="llama31-0a1b2c3d",
        stage="train",
        config_sha256="c" * 64,
        image="sha256:1",
        inputs={"k": "a" * 64},
        finished_at="2026-01-02T03:04:05+00:00",
        seconds={"train": 1.5},
        versions={"python": "3.12"},
        hardware={"device": "cpu"},
        warnings=("w",),
        base="b@1",
        base_sha256="b" * 64,
        tokenizer_sha256="d" * 64,
        template_sha256="e" * 64,
        dataset="f" * 16,
        steps=3,
        rows=12,
        tokens=400,
        answer_tokens=90,
        trainable_parameters=7,
        train_loss=1.25,
        eval_loss=None,
        eval_split="test",
        dropped_news=2,
        padding_share=0.125,
        peak_memory_bytes=1024,
        resumed=1,
        exactness="bitwise",
        files=(FileRef(name="adapter/x", size=1, sha256="0" * 64),),
    )
    data = encode(manifest)
    assert sha256_bytes(data) == "4df6231ff66a0aaa09ba650fc89acf1eac8356beb105f9ec117ea44e66768b07"
    assert decode(TrainManifest, data, "key") == manifest


def test_scores_from_before_labels_were_scored_load_without_them():
    counts = {"n": 1, "parsed": 1, "valid": 1, "failures": {}, "rouge": {}}
    means = {"binary_accuracy": 1.0, "accuracy_all": 1.0, "mse": 1.0, "mse_all": 1.0}
    parser = ParserScores(**counts, **means)
    body = {
        "n": 1,
        "loss": 1.0,
        "train_loss": None,
        "truncated": 0,
        "seconds": {},
        "samples_per_second": 1.0,
        "tokens_per_second": 1.0,
        **dict.fromkeys(("strict", "robust"), parser.model_dump(mode="json")),
    }
    stored = canonical_json({**body, "seal": sha256_bytes(canonical_json(body))})
    found = decode(VariantScores, stored, "key")
    assert (found.label_temperature, found.label_prior) == (None, None)


def test_a_data_set_from_before_dates_and_origins_still_loads():
    fields = {
        "schema_version": 1,
        "id": "d",
        "source": "raw/1",
        "split_rule": "published",
        "leaky": False,
        "counts": {"train": 1},
        "weeks": {"train": 1},
        "rejects": {},
        "dropped": {},
        "notes": {},
        "findings": [],
        "files": [],
    }
    data = canonical_json({**fields, "seal": sha256_bytes(canonical_json(fields))})
    old = decode(DatasetManifest, data, "key")
    assert (old.embargo_weeks, old.origin, old.origins, old.dates) == (0, None, None, {})
    new = old.model_copy(update={"dates": {"test": (date(2031, 1, 5), date(2031, 1, 12))}})
    assert decode(DatasetManifest, encode(new), "key") == new
