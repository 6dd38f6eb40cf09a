"""vLLM itself against transformers, on a CPU: `make test-vllm`, in an environment of its own.

The floor of the noise is what transformers disagrees with itself by, once its attention is another kernel. vLLM may
disagree by half as much again, in fields of answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.eval.engine_transformers import TransformersEngine
from fingpt.eval.engine_vllm import VllmEngine, VllmSettings
from fingpt.eval.generate import Decoding
from fingpt.eval.model import load
from fingpt.eval.prompts import Prompt
from fingpt.prompts.chat import pad_id, render_all, stop_ids
from fingpt.weights.adapter import peft_arguments
from tests.eval.conftest import LORA
from tests.eval.invented import MODEL, example

ROWS, NEW_TOKENS = 24, 32


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tokenizer) -> tuple[Path, Path]:
    """A random base whose heads are as wide as vLLM's smallest on a CPU, and an adapter that changes what it says."""
    base, adapter = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=1024,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    torch.manual_seed(1)
    tuned = get_peft_model(
        LlamaForCausalLM.from_pretrained(base), LoraConfig(**peft_arguments(LORA))
    )
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(adapter)
    return base, adapter


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[Prompt]:
    rows = [example(number) for number in range(ROWS)]
    rendered = render_all(MODEL, tokenizer, rows, 4096)
    return [
        Prompt(row, one.prompt_ids, one.answer_ids) for row, one in zip(rows, rendered, strict=True)
    ]


@pytest.fixture(scope="module")
def decoding(tokenizer) -> Decoding:
    return Decoding(stop_ids(MODEL, tokenizer), pad_id(MODEL, tokenizer), NEW_TOKENS)


@pytest.fixture(scope="module")
def reference(folders, tokenizer, decoding) -> TransformersEngine:
    model = load(*folders, torch.device("cpu"), torch.float32, LORA)
    return TransformersEngine(model, tokenizer, decoding)


@pytest.fixture(scope="module")
def vllm(folders, tokenizer, decoding, prompts, tmp_path_factory) -> VllmEngine:
    longest = max(len(prompt.prompt_ids) for prompt in prompts) + 120
    cache = tmp_path_factory.mktemp("cache")
    started = VllmSettings(*folders, LORA, "fp32", longest, cache)
    return VllmEngine(started, tokenizer, decoding)


def differing(one, two) -> int:
    """Answers of which a field differs: the text, its length, whether it was cut."""
    return sum(first != second for first, second in zip(one, two, strict=True))


@pytest.mark.parametrize("variant", ["base", "tuned"])
def test_answers_differ_no_more_than_half_as_much_again_as_the_noise(
    variant, reference, vllm, prompts
):
    wanted, _ = reference.answers(variant, prompts)
    reference.model.get_base_model().set_attn_implementation("eager")
    noisy = [reference.answers(variant, [prompt])[0][0] for prompt in prompts]
    reference.model.get_base_model().set_attn_implementation("sdpa")
    found, seconds = vllm.answers(variant, prompts)
    assert seconds > 0
    assert len({answer.prediction for answer in found}) > ROWS / 3  # they say different things
    assert differing(wanted, found) <= 1.5 * differing(wanted, noisy)


def test_the_adapter_changes_the_answers_and_the_base_is_without_it(vllm, prompts):
    assert differing(vllm.answers("base", prompts)[0], vllm.answers("tuned", prompts)[0]) > ROWS / 2


def test_what_was_asked_before_a_chunk_changes_nothing_in_it(vllm, prompts):
    first, _ = vllm.answers("tuned", prompts[:6])
    vllm.answers("base", prompts)
    again, _ = vllm.answers("tuned", prompts[:6])
    assert again == first
