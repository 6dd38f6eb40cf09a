"""The sizes that a base's settings say are those of its layers."""

from __future__ import annotations

import pytest

from fingpt.errors import DataError
from fingpt.eval.base_sizes import BaseSizes, read_sizes
from fingpt.models import LINEAR_LAYERS
from fingpt.runs.manifest import BaseManifest, encode
from fingpt.runs.run import base_manifest_key
from fingpt.storage import upload_tree
from tests.eval.invented import MODEL


def publish(store, folder) -> None:
    files = upload_tree(store, folder, MODEL.base_prefix)
    manifest = BaseManifest(base=MODEL.base, revision=MODEL.revision, files=files)
    store.create(base_manifest_key(MODEL.base_prefix), encode(manifest))


@pytest.mark.parametrize("target", LINEAR_LAYERS)
def test_they_are_those_of_the_loaded_model(store, base_folder, small_model, target):
    publish(store, base_folder)
    sizes = read_sizes(store, MODEL)
    layers = [
        layer for name, layer in small_model.named_modules() if name.rpartition(".")[2] == target
    ]
    assert len(layers) == sizes.num_hidden_layers
    for layer in layers:
        assert (sizes.of(target, "A"), sizes.of(target, "B")) == (
            layer.in_features,
            layer.out_features,
        )


def test_heads_may_be_of_another_size_than_hidden_units_divided_by_heads():
    sizes = BaseSizes(
        num_hidden_layers=1,
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=8,
    )
    assert [sizes.of(name, "B") for name in ("q_proj", "k_proj", "o_proj")] == [32, 8, 16]
    assert sizes.of("o_proj", "A") == 32


def test_a_base_that_is_not_there_yet_says_nothing(store):
    assert read_sizes(store, MODEL) is None


@pytest.mark.parametrize("text", ["{}", "[]", '{"num_hidden_layers": 0}', None])
def test_a_base_that_does_not_say_them_is_one_sentence(store, tmp_path, text):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")
    if text is not None:
        (folder / "config.json").write_text(text)
    publish(store, folder)
    with pytest.raises(DataError, match="do not say how large their layers are"):
        read_sizes(store, MODEL)
