"""Loss on answer tokens only: equal to the definition, whatever the batch."""

from __future__ import annotations

import math

import pytest
import torch

from fingpt.errors import DivergedError
from fingpt.eval.loss import answer_nll
from fingpt.eval.prompts import Prompt
from fingpt.prompts.chat import labels, render
from tests.eval.invented import MODEL, example


@pytest.fixture
def rendered(tokenizer):
    return [render(MODEL, tokenizer, example(n), 1024) for n in range(5)]


@pytest.fixture
def prompts(rendered):
    return [Prompt(example(n), one.prompt_ids, one.answer_ids) for n, one in enumerate(rendered)]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_it_equals_the_loss_of_transformers_with_masked_prompts(
    small_model, rendered, prompts, batch_size
):
    found = answer_nll(small_model, prompts, batch_size)
    for one, prompt in zip(rendered, prompts, strict=True):
        with torch.inference_mode():
            ids, wanted = torch.tensor([one.input_ids]), torch.tensor([labels(one)])
            mean = small_model(input_ids=ids, labels=wanted).loss
        assert found[prompt.example.id] == pytest.approx(
            float(mean) * len(one.answer_ids), rel=5e-6
        )


def test_a_uniform_model_loses_the_logarithm_of_its_vocabulary_per_token(small_model, prompts):
    kept = small_model.lm_head.weight.detach().clone()
    with torch.no_grad():
        small_model.lm_head.weight.zero_()
    try:
        found = answer_nll(small_model, prompts, 2)
    finally:
        with torch.no_grad():
            small_model.lm_head.weight.copy_(kept)
    for prompt in prompts:
        assert found[prompt.example.id] == pytest.approx(
            len(prompt.answer_ids) * math.log(264), rel=1e-5
        )


def test_a_loss_that_is_not_finite_names_the_row(small_model, prompts):
    kept = small_model.lm_head.weight.detach().clone()
    with torch.no_grad():
        small_model.lm_head.weight.fill_(float("nan"))
    try:
        with pytest.raises(DivergedError, match=r"S\d 2024-01-07 to 2024-01-14 is nan"):
            answer_nll(small_model, prompts, 2)
    finally:
        with torch.no_grad():
            small_model.lm_head.weight.copy_(kept)


def test_every_batch_is_reported(small_model, prompts):
    done = []
    answer_nll(small_model, prompts, 2, done.append)
    assert done == [2, 2, 1]


def test_passes_of_any_size_give_the_same_losses(monkeypatch, small_model, prompts):
    whole = answer_nll(small_model, prompts, 5)
    shapes = []
    monkeypatch.setattr("fingpt.eval.prompts._CPU_TOKENS", 2 * len(prompts[0].prompt_ids) * 2)
    real = small_model.get_decoder().forward
    monkeypatch.setattr(
        small_model.get_decoder(),
        "forward",
        lambda **given: shapes.append(given["input_ids"].shape[0]) or real(**given),
    )
    assert answer_nll(small_model, prompts, 5) == pytest.approx(whole, rel=5e-6)
    assert sum(shapes) == len(prompts)
    assert len(shapes) > 1
