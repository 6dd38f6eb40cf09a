"""A base folder holds what is on the list, no more; its settings load no code, its index names its own files."""

from __future__ import annotations

import json

import pytest

from fingpt.errors import DataError
from fingpt.models import spec
from fingpt.record import FileRef, sha256_bytes
from fingpt.storage import LocalStore, put
from fingpt.weights.base import publish_base
from fingpt.weights.contents import open_base

MODEL = spec("tiny-llama31")
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4,
    "vocab_size": 8,
    "num_hidden_layers": 1,
    "intermediate_size": 4,
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = {"metadata": {}, "weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}


def base(tmp_path, **changes: object) -> LocalStore:
    """A store with a base of two shards; `changes` replace or add files (None removes one), by name with _ for ."""
    files: dict[str, object] = {
        "config.json": CONFIG,
        "tokenizer.json": {},
        "model.safetensors.index.json": INDEX,
        **dict.fromkeys(SHARDS, b"0" * 400),
        "generation_config.json": {"eos_token_id": 1},
    }
    files.update(changes)
    store, refs = LocalStore(tmp_path / "store"), []
    for name, content in files.items():
        if content is None:
            continue
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        put(store, f"{MODEL.base_prefix}/{name}", data)
        refs.append(FileRef(name=name, size=len(data), sha256=sha256_bytes(data)))
    publish_base(store, MODEL, refs)
    return store


def test_a_base_as_it_should_be_is_opened(tmp_path):
    folder = open_base(base(tmp_path), MODEL, tmp_path / "cache")
    assert (folder / SHARDS[1]).is_file()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modeling_llama.py": b"print(1)"}, "name 'modeling_llama.py'"),
        ({"pytorch_model.bin": b"\x80"}, "name 'pytorch_model.bin'"),
        ({"adapter_config.json": {}}, "name 'adapter_config.json'"),
        ({"chat_template.jinja": b"{{ x }}"}, "name 'chat_template.jinja'"),
        ({"config.json": {**CONFIG, "auto_map": {"AutoModel": "a.B"}}}, "the key 'auto_map'"),
        ({"config.json": {**CONFIG, "quantization_config": {}}}, "the key 'quantization_config'"),
        ({"config.json": {**CONFIG, "model_type": "gpt2"}}, "model_type 'gpt2'"),
        ({"config.json": {**CONFIG, "vocab_size": 10**30}}, "vocab_size 1000"),
        ({"config.json": {**CONFIG, "num_hidden_layers": 0}}, "num_hidden_layers 0"),
        ({"config.json": {**CONFIG, "hidden_size": 4096}}, "describes .* parameters"),
        ({"config.json": b"[" * 100_000}, "config.json of the base .* nested deeper"),
        ({"generation_config.json": {"custom_generate": "a/b"}}, "'custom_generate'"),
        ({"tokenizer_config.json": {"auto_map": {}}}, "'auto_map'"),
        ({"tokenizer_config.json": {"vocab_file": "/etc/passwd"}}, "'vocab_file'"),
        ({"model.safetensors.index.json": {"weight_map": {"a": "x.bin"}}}, "names 'x.bin'"),
        (
            {"model.safetensors.index.json": {"weight_map": {"a": "../other/x.safetensors"}}},
            "'../other",
        ),
        ({"model.safetensors.index.json": {"weight_map": {"a": "gone.safetensors"}}}, "'gone.safe"),
        ({"model.safetensors.index.json": {"weight_map": {"a": 1}}}, "no table of weights"),
        ({"model.safetensors.index.json": []}, "index.json"),
        ({"model.safetensors.index.json": None}, "have no model.safetensors"),
    ],
)
def test_a_base_that_could_load_more_than_weights_is_refused(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        open_base(base(tmp_path, **changes), MODEL, tmp_path / "cache")


def test_strangers_in_the_cache_are_removed_and_downloads_under_way_stay(tmp_path):
    store = base(tmp_path)
    folder = open_base(store, MODEL, tmp_path / "cache")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    (folder / "modeling.py").write_bytes(b"print(1)")
    (folder / "adapter_config.json").write_bytes(b"{}")
    (folder / "sub").mkdir()
    (folder / "sub" / "pickle.bin").write_bytes(b"x")
    (folder / "link").symlink_to(outside)
    (folder / ".0123abcd.part").write_bytes(b"half")
    before = {path.name for path in open_base(store, MODEL, tmp_path / "cache").iterdir()}
    names = {"config.json", "tokenizer.json", "generation_config.json", *SHARDS}
    assert before == {*names, "model.safetensors.index.json", ".0123abcd.part"}
    assert (outside / "kept").is_file()


def test_a_file_of_the_base_that_is_a_link_is_refused(tmp_path):
    store = base(tmp_path)
    folder = open_base(store, MODEL, tmp_path / "cache")
    path = folder / SHARDS[0]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no plain file"):
        open_base(store, MODEL, tmp_path / "cache")
