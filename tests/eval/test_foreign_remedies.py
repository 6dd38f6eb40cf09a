from __future__ import annotations

import json

import pytest

from fingpt.errors import DataError
from fingpt.eval.foreign import check_settings
from tests.eval.test_foreign import MODEL, SETTINGS


def refusal(**settings) -> str:
    with pytest.raises(DataError) as caught:
        check_settings({**SETTINGS, **settings}, MODEL, "D")
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "instead"),
    [
        ({"exclude_modules": ["lm_head"]}, {"exclude_modules": None}),
        ({"layers_to_transform": [0, 1]}, {"layers_to_transform": None}),
        ({"lora_alpha": 16.0, "use_rslora": True}, {"use_rslora": False, "lora_alpha": 32}),
        (
            {"target_modules": ["model.layers.0.self_attn.v_proj", "q_proj"]},
            {"target_modules": ["q_proj", "v_proj"]},
        ),
    ],
)
def test_what_is_said_to_be_written_instead_is_taken(settings, instead):
    said = refusal(**settings)
    for name, value in instead.items():
        assert name in said
        assert f"write {json.dumps(value)}" in said
    lora = check_settings({**SETTINGS, **settings, **instead}, MODEL, "D")
    assert lora.targets == ("q_proj", "v_proj")
    assert lora.alpha == instead.get("lora_alpha", 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lora_alpha": 8.5}, ": write 8 and multiply all lora_B weights by 1.0625."),
        ({"lora_alpha": 0.25}, ": write 1 and multiply all lora_B weights by 0.25."),
        ({"lora_alpha": -8.5}, "a whole number above 0 is expected."),
        ({"lora_alpha": float("inf")}, "a whole number above 0 is expected."),
        ({"lora_alpha": 10**400}, "a whole number above 0 is expected."),
        (
            {"r": 8, "use_rslora": True},
            "false, and for lora_alpha: write 45 and multiply all lora_B weights by 1.00566298.",
        ),
        ({"r": "8", "use_rslora": True}, "train the adapter again without it."),
        ({"r": 10**400, "use_rslora": True}, "train the adapter again without it."),
        ({"use_dora": True}, "train the adapter again without it."),
        (
            {"target_modules": "all-linear"},
            '["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] there',
        ),
        ({"target_modules": r".*\.(q|v)_proj"}, "write there the short names of the layers"),
        ({"target_modules": "q_proj"}, "write there the short names of the layers"),
        ({"target_modules": ["q_proj", {}]}, "write there the short names of the layers"),
        ({"target_modules": ["q_proj", "lm_head"]}, "other layers has to be trained again"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_setting_that_is_not_supported_is_refused_with_a_way_out(settings, words):
    assert words in refusal(**settings)
