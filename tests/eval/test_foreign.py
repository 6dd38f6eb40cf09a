"""Adapters from elsewhere: two files, checked, frozen by their bytes, never obeyed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from fingpt import log
from fingpt.config import RunConfig
from fingpt.errors import ConfigError, DataError, MissingInputError
from fingpt.eval import foreign_weights
from fingpt.eval.foreign import _MOST_BYTES, CONFIG, WEIGHTS, freeze_adapter
from fingpt.models import spec
from fingpt.reading import RECORD_BYTES
from fingpt.record import sha256_bytes
from fingpt.runs.manifest import AdapterManifest, decode
from fingpt.runs.run import Run, Stage, adapter_manifest_key
from fingpt.storage import open_store

MODEL = spec("llama31")
TARGETS = ["v_proj", "q_proj"]
SETTINGS = {  # as peft 0.21 writes them
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "auto_mapping": None,
    "base_model_name_or_path": MODEL.base,
    "bias": "none",
    "corda_config": None,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 16,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "r": 4,
    "rank_pattern": {},
    "revision": MODEL.revision,
    "target_modules": TARGETS,
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
}


def name_of(layer: int, target: str, side: str) -> str:
    return f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_{side}.weight"


def tensors(layers=2, targets=TARGETS, rank=4, kind=np.float32):
    return {
        name_of(layer, target, side): np.full((rank, 8) if side == "A" else (8, rank), 0.5, kind)
        for layer in range(layers)
        for target in targets
        for side in "AB"
    }


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "Bob's adapter"
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(SETTINGS))
    save_file(tensors(), folder / WEIGHTS)
    return folder


def no_hub(*_):
    raise AssertionError("the hub was asked")


def freeze(store, source, model="llama31", fetch=no_hub, **train):
    config = RunConfig.model_validate(
        {"model": model, "eval": {"adapter": str(source)}, "train": train}
    )
    return freeze_adapter(store, config, fetch)


def change(folder, **settings):
    (folder / CONFIG).write_text(json.dumps({**SETTINGS, **settings}))


def test_its_bytes_are_frozen_and_its_settings_become_the_run_s(store, adapter):
    config = freeze(store, adapter, lora={"r": 99})
    assert config.eval.adapter is not None
    assert (config.train.lora.r, config.train.lora.alpha) == (4, 16)
    assert config.train.lora.targets == ("q_proj", "v_proj")
    key = adapter_manifest_key(config.eval.adapter)
    manifest = decode(AdapterManifest, store.read(key), key)
    assert [file.name for file in manifest.files] == [f"adapter/{CONFIG}", f"adapter/{WEIGHTS}"]
    stored = store.read(f"{config.eval.adapter}/adapter/{WEIGHTS}")
    assert stored == (adapter / WEIGHTS).read_bytes()
    assert manifest.files[1].sha256 == sha256_bytes(stored)


def test_equal_bytes_are_one_run_wherever_they_lie_and_others_are_another(store, adapter, tmp_path):
    first = freeze(store, adapter)
    shutil.copytree(adapter, tmp_path / "copy")
    (tmp_path / "copy" / "training_args.bin").write_bytes(b"a pickle")
    change(tmp_path / "copy", peft_version="0.99", revision=None)
    assert freeze(store, tmp_path / "copy") == first
    assert (
        freeze(store, first.eval.adapter) == first
    )  # a command that is repeated by its frozen name
    save_file({n: t * 2 for n, t in tensors().items()}, adapter / WEIGHTS)
    assert freeze(store, adapter).sha256 != first.sha256


def test_the_stored_configuration_is_ours(store, adapter):
    change(
        adapter,
        megatron_core="evil",
        auto_mapping={"parent_library": "os"},
        runtime_config={"x": 1},
        base_model_name_or_path="/x/y/z",
    )
    config = freeze(store, adapter)
    found = json.loads(store.read(f"{config.eval.adapter}/adapter/{CONFIG}"))
    assert found.pop("target_modules") == ["q_proj", "v_proj"]
    assert found == {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": MODEL.base,
        "revision": MODEL.revision,
        "r": 4,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "bias": "none",
        "inference_mode": True,
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"peft_type": "IA3"},
        {"task_type": "SEQ_CLS"},
        {"bias": "all"},
        {"use_dora": True},
        {"use_rslora": True},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 8}},
        {"alpha_pattern": {".*": 8}},
        {"layers_to_transform": [0]},
        {"exclude_modules": "(a+)+$"},
        {"target_modules": "(a+)+$"},
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["(q|v)_proj"]},
        {"target_modules": [{"q_proj": 1}]},
        {"target_modules": []},
        {"target_modules": None},
        {"init_lora_weights": "pissa"},
        {"r": 0},
        {"r": True},
        {"r": 10**400},
        {"r": 4.5},
        {"r": "4"},
        {"r": None},
        {"lora_alpha": -1},
        {"lora_alpha": 1e30},
        {"lora_alpha": [1]},
        {"a_setting_of_tomorrow": "on"},
    ],
    ids=str,
)
def test_a_configuration_that_is_not_supported_is_refused_by_name(store, adapter, settings):
    change(adapter, **settings)
    with pytest.raises(DataError, match=f"says '{next(iter(settings))}' = "):
        freeze(store, adapter)
    assert not list(store.keys())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_model_name_or_path": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"}, "was trained on"),
        ({"base_model_name_or_path": "meta-llama/Llama-3.1-8B"}, "only fits the base"),
        ({"revision": "0" * 40}, "was trained on revision"),
        ({"revision": "v2"}, "was trained on revision"),
    ],
)
def test_an_adapter_of_another_base_is_refused(store, adapter, settings, words):
    change(adapter, **settings)
    with pytest.raises(DataError, match=words):
        freeze(store, adapter)


@pytest.mark.parametrize(
    "settings",
    [
        {"base_model_name_or_path": "/data/models/Llama-3.1-8B-Instruct"},
        {"base_model_name_or_path": None, "revision": None},
        {"revision": "main"},
        {"base_model_name_or_path": "meta-llama/Meta-Llama-3.1-8B-Instruct", "revision": None},
    ],
)
def test_an_adapter_that_does_not_say_its_base_is_taken_and_that_is_said(
    store, adapter, settings, capsys
):
    log.setup()
    change(adapter, **settings)
    assert freeze(store, adapter).eval.adapter
    assert "is taken on trust" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b'{"r": ' + b"9" * 5000 + b"}"]
)
def test_a_configuration_that_is_no_json_object_is_one_sentence(store, adapter, text):
    (adapter / CONFIG).write_bytes(text)
    with pytest.raises(DataError, match="is no JSON object"):
        freeze(store, adapter)


def test_a_huge_configuration_is_not_read(store, adapter):
    (adapter / CONFIG).write_bytes(b" " * (2 << 20))
    with pytest.raises(DataError, match="more than 1,048,576 bytes"):
        freeze(store, adapter)


def write(folder, found):
    save_file(found, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (tensors(rank=8), "not rank 4"),
        (tensors(targets=["q_proj"]), "lacks lora_A of v_proj in layer 0"),
        (tensors(targets=[*TARGETS, "k_proj"]), "has lora_A of k_proj in layer 0"),
        ({n: t for n, t in tensors().items() if n != name_of(1, "q_proj", "B")}, "lacks lora_B"),
        ({n: t for n, t in tensors(3).items() if ".1." not in n}, "in layer 1"),
        ({**tensors(), "base_model.model.lm_head.weight": np.zeros((2, 2))}, "no LoRA weight"),
        ({n: t.astype(np.int32) for n, t in tensors().items()}, "no LoRA weight"),
        ({n: t.reshape(-1) for n, t in tensors().items()}, "has the shape"),
        ({}, "no numbers .*ZeRO 3.*save it again"),
        ({n.replace("self_attn", "mlp"): t for n, t in tensors().items()}, "no LoRA weight"),
        (
            {n.replace("self_attn.q_proj", "self_attn.up_proj"): t for n, t in tensors().items()},
            "no LoRA weight",
        ),
        ({n: t[:0, 0] for n, t in tensors().items()}, "no numbers .*ZeRO 3.*save it again"),
        ({n.replace(".weight", ".default.weight"): t for n, t in tensors().items()}, "no LoRA"),
        ({f"_orig_mod.{n}": t for n, t in tensors().items()}, "no LoRA weight"),
    ],
)
def test_weights_that_are_not_what_the_configuration_says_are_refused(store, adapter, found, words):
    write(adapter, found)
    with pytest.raises(DataError, match=words):
        freeze(store, adapter)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "largest"])
def test_numbers_that_are_none_are_found_in_every_piece_and_the_largest_are_told_from_them(
    store, adapter, monkeypatch, kind, number
):
    monkeypatch.setattr(foreign_weights, "_PIECE", 16)
    found = {name: torch.from_numpy(value).to(kind) for name, value in tensors().items()}
    last = name_of(1, "v_proj", "B")
    found[last][7, 3] = torch.finfo(kind).max if number == "largest" else float(number)
    save_torch(found, adapter / WEIGHTS)
    if number == "largest" and kind is torch.float16:
        assert freeze(store, adapter).eval.adapter
        return
    if number == "largest":
        with pytest.raises(DataError, match="v_proj in layer 1 add is as large as"):
            freeze(store, adapter)
        return
    with pytest.raises(DataError, match=rf"'{re.escape(last)}' in .* holds NaN or Inf"):
        freeze(store, adapter)
    assert not list(store.keys())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sides", ["A", "B", "AB"])
def test_finite_numbers_that_no_model_can_compute_with_are_refused(store, adapter, kind, sides):
    def scaled(factor):
        return {
            name: torch.from_numpy(value).to(kind) * (factor if name[-8] in sides else 1)
            for name, value in tensors().items()
        }

    save_torch(scaled(1e30), adapter / WEIGHTS)
    with pytest.raises(DataError, match=r"q_proj in layer 0 add is as large as .* scaled"):
        freeze(store, adapter)
    assert not list(store.keys())
    save_torch(scaled(1e8), adapter / WEIGHTS)  # nonsense that can be computed and scored
    assert freeze(store, adapter).eval.adapter


@pytest.mark.parametrize("data", [b"", b"\x80\x04.", b"\xff" * 100, b"{}" * 50])
def test_weights_that_are_no_safetensors_are_one_sentence(store, adapter, data):
    (adapter / WEIGHTS).write_bytes(data)
    with pytest.raises(DataError, match="is no safetensors file"):
        freeze(store, adapter)


def test_a_pointer_in_place_of_the_weights_says_how_to_bring_them(store, adapter):
    (adapter / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match=r"Git LFS pointer.*git lfs pull"):
        freeze(store, adapter)


def test_a_trainer_s_folder_names_the_newest_of_its_checkpoints(store, adapter):
    for number, age in ((200, 1), (100, 9)):
        folder = adapter / f"checkpoint-{number}"
        folder.mkdir()
        shutil.copy(adapter / CONFIG, folder)
        shutil.copy(adapter / WEIGHTS, folder)
        os.utime(folder / CONFIG, (1_700_000_000 - age, 1_700_000_000 - age))
    (adapter / CONFIG).unlink()
    with pytest.raises(MissingInputError, match="newest: ADAPTER=") as caught:
        freeze(store, adapter)
    named = str(caught.value).rpartition("ADAPTER=")[2].rstrip(".")
    assert shlex.split(named) == [str(adapter / "checkpoint-200")]
    assert freeze(store, *shlex.split(named)).eval.adapter


def test_a_pickle_is_not_read_and_the_way_out_is_named(store, adapter):
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(MissingInputError, match=r"adapter_model\.bin is not read: .*safe_serial"):
        freeze(store, adapter)


@pytest.mark.parametrize("source", ["no/such/folder", "1", "adapters/0123", "adapters/" + "0" * 32])
def test_an_adapter_that_is_not_there_is_a_missing_input(store, source):
    with pytest.raises(MissingInputError, match="hub:owner/name@commit"):
        freeze(store, source)


def test_an_adapter_in_a_bucket_may_be_longer_than_a_record(store, adapter, monkeypatch):
    at = {"s3://bucket/adapter": adapter.as_uri()}
    monkeypatch.setattr("fingpt.eval.foreign.open_store", lambda uri: open_store(at[uri]))
    wide = {n: np.zeros((4, 700_000) if "_A" in n else (700_000, 4), "f") for n in tensors(1)}
    write(adapter, wide)
    assert (adapter / WEIGHTS).stat().st_size > RECORD_BYTES
    assert freeze(store, "s3://bucket/adapter/") == freeze(store, adapter)
    monkeypatch.setitem(_MOST_BYTES, WEIGHTS, 1 << 20)
    with pytest.raises(
        DataError, match=r"adapter_model\.safetensors has more than 1,048,576 bytes"
    ):
        freeze(store, "s3://bucket/adapter")


@pytest.mark.parametrize("source", ["hub:owner/name", "hub:owner/name@main", "hub:x", "hub:"])
def test_the_hub_is_asked_for_a_commit_only(store, source):
    with pytest.raises(ConfigError, match="with its commit"):
        freeze(store, source)


def test_an_adapter_from_the_hub_is_the_one_of_its_commit(store, adapter):
    asked = []

    def fetch(repository, folder, names):
        asked.append((repository.base, repository.revision, names))
        for name in names:
            shutil.copy(adapter / name, folder / name)

    config = freeze(store, f"hub:owner/name@{'a' * 40}", fetch=fetch)
    assert asked == [("owner/name", "a" * 40, (CONFIG, WEIGHTS))]
    assert config == freeze(store, adapter)


def test_a_run_without_one_is_written_and_hashed_as_before():
    before = {"embargo_weeks": 1, "test_weeks": 10, "validation_weeks": 0}
    config = RunConfig.model_validate({"model": "llama31", "prep": before})
    assert "adapter" not in config.model_dump(mode="json")["eval"]
    assert config.sha256 == "7d105c4a6d26ae78f135c769872206d12f8b586f21c4ad29953cd30927f7c6e8"
    assert Run.of(config, {}).stages == tuple(Stage)


def test_a_run_with_one_trains_nothing_and_reads_back(store, adapter):
    run = Run.of(freeze(store, adapter), {})
    assert run.stages == (Stage.PREP, Stage.EVAL)
    assert Run.decode(run.encode()) == run


def test_a_frozen_adapter_is_not_taken_for_another_model(store, adapter):
    frozen = freeze(store, adapter).eval.adapter
    with pytest.raises(DataError, match="was frozen for"):
        freeze(store, frozen, model="deepseek-r1")


def test_the_frozen_weights_load_as_they_were(store, adapter, tmp_path):
    frozen = freeze(store, adapter).eval.adapter
    (tmp_path / WEIGHTS).write_bytes(store.read(f"{frozen}/adapter/{WEIGHTS}"))
    assert set(load_file(tmp_path / WEIGHTS)) == set(tensors())
