"""An adapter's configuration file is compared with the run's, and never obeyed."""

from __future__ import annotations

import json
import time

import pytest

from fingpt.config import LoraConfig
from fingpt.errors import DataError, MissingInputError
from fingpt.weights.adapter import CONFIG, check_settings, peft_arguments, read_lora

LORA = LoraConfig(r=4, alpha=8, dropout=0.1, targets=("q_proj", "v_proj"))


@pytest.fixture
def expected() -> dict:
    import peft

    return peft.LoraConfig(**peft_arguments(LORA), inference_mode=True).to_dict()


@pytest.fixture
def stored(expected) -> dict:
    plain = {key: getattr(value, "value", value) for key, value in expected.items()}
    return {
        **plain,
        "target_modules": ["v_proj", "q_proj"],
        "base_model_name_or_path": "b",
        "revision": "r",
    }


def written(folder, stored: dict):
    (folder / CONFIG).write_text(json.dumps(stored))
    return folder


def test_the_run_s_own_configuration_is_accepted_in_any_order(tmp_path, stored, expected):
    check_settings(written(tmp_path, stored), expected)
    short = {key: stored[key] for key in ("r", "lora_alpha", "lora_dropout", "target_modules")}
    check_settings(written(tmp_path, {**short, "a_new_setting": None, "another": []}), expected)
    assert set(read_lora(tmp_path).targets) == set(LORA.targets)


@pytest.mark.parametrize(
    "change",
    [
        {"target_modules": "(((a+)+)+)+$"},
        {"target_modules": ["q_proj"]},
        {"target_modules": "all-linear"},
        {"exclude_modules": "(a+)+$"},
        {"layers_pattern": "(a+)+$"},
        {"r": 8},
        {"lora_alpha": 9},
        {"lora_alpha": 0},
        {"use_dora": True},
        {"use_rslora": True},
        {"rank_pattern": {"(a+)+$": 1}},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1]},
        {"peft_type": "PREFIX_TUNING"},
        {"task_type": "SEQ_CLS"},
        {"bias": "all"},
        {"init_lora_weights": "pissa"},
        {"a_new_setting": {"x": 1}},
    ],
)
def test_anything_else_is_one_sentence_at_once(tmp_path, stored, expected, change):
    start = time.monotonic()
    with pytest.raises(DataError, match=f"says {next(iter(change))} = "):
        check_settings(written(tmp_path, {**stored, **change}), expected)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("targets", ["(a+)+$", ["lm_head"], [], None, [["q_proj"]]])
def test_layers_of_an_adapter_without_a_run_are_names_of_linear_layers(tmp_path, stored, targets):
    with pytest.raises(DataError, match="describes no adapter that is used here"):
        read_lora(written(tmp_path, {**stored, "target_modules": targets}))


def test_a_file_that_is_no_configuration_is_one_sentence(tmp_path):
    with pytest.raises(MissingInputError, match="holds no adapter"):
        read_lora(tmp_path)
    for data in (b"", b"[]", b"[" * 100_000, b'{"r": ' + b"9" * 5000 + b"}", b" " * (2 << 20)):
        (tmp_path / CONFIG).write_bytes(data)
        with pytest.raises(DataError, match=CONFIG):
            read_lora(tmp_path)
