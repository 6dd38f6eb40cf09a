"""Generation: greedy whatever the model's own settings say, the same in a batch as alone, counted honestly."""

from __future__ import annotations

import pytest
import torch

from fingpt.eval import generate
from fingpt.eval.generate import Decoding, generate_batch, greedy_ids
from fingpt.eval.model import active, load
from fingpt.eval.prompts import Prompt
from fingpt.prompts.chat import render, stop_ids
from tests.eval.invented import MODEL, example


@pytest.fixture
def prompts(tokenizer):
    found = (render(MODEL, tokenizer, example(n), 1024) for n in range(4))
    return [Prompt(example(n), one.prompt_ids, one.answer_ids) for n, one in enumerate(found)]


@pytest.fixture
def decoding(tokenizer):
    return Decoding(stop_ids(MODEL, tokenizer), 12)


@pytest.fixture
def model(base_folder, adapter_folder):
    return load(base_folder, adapter_folder, torch.device("cpu"), torch.float32)


def greedy(model, prompt, decoding):
    """Greedy decoding spelled out, without a cache or a library."""
    ids = list(prompt)
    while len(ids) < len(prompt) + decoding.max_new_tokens:
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in decoding.stop_ids:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("variant", ["base", "tuned"])
def test_a_batch_gives_what_each_prompt_gives_alone(model, tokenizer, prompts, decoding, variant):
    with active(model, variant) as lm:
        answers, seconds = generate_batch(lm, tokenizer, prompts, decoding)
        wanted = [greedy(lm, prompt.prompt_ids, decoding) for prompt in prompts]
    assert [answer.new_tokens for answer in answers] == [len(ids) for ids in wanted]
    for answer, ids in zip(answers, wanted, strict=True):
        kept = [token for token in ids if token < 256]  # bytes; marks are not text
        assert answer.prediction == tokenizer.decode(kept)
    assert seconds > 0


@pytest.mark.parametrize("variant", ["base", "tuned"])
def test_answers_that_end_at_different_times_are_those_of_each_prompt_alone(
    model, prompts, variant
):
    asked = [prompt.prompt_ids[: 40 + 9 * number] for number, prompt in enumerate(prompts * 2)]
    with active(model, variant) as lm:
        endless = [greedy(lm, ids, Decoding((), 14)) for ids in asked]
        # What one says first at its third, fifth or ninth token ends that row then, and others elsewhere or never.
        stops = tuple({line[at] for line, at in zip(endless, [2, 4, 8], strict=False)})
        decoding = Decoding(stops, 14)
        wanted = [greedy(lm, ids, decoding) for ids in asked]
        assert len({len(line) for line in wanted}) >= 3
        for size in (1, 3, len(asked)):
            parts = range(0, len(asked), size)
            got = [greedy_ids(lm, asked[start : start + size], decoding) for start in parts]
            assert [line for part in got for line in part] == wanted


def test_what_an_answer_says_does_not_depend_on_the_place_of_its_prompt(model, prompts, decoding):
    asked = [prompt.prompt_ids for prompt in prompts]
    with active(model, "tuned") as lm:
        lines = greedy_ids(lm, asked, decoding)
        assert greedy_ids(lm, asked[::-1], decoding) == lines[::-1]


def test_settings_that_the_model_ships_with_play_no_part(model, tokenizer, prompts, decoding):
    with active(model, "tuned") as lm:
        plain, _ = generate_batch(lm, tokenizer, prompts, decoding)
        own = lm.generation_config
        own.do_sample, own.temperature, own.top_p = True, 2.0, 0.5
        own.max_length, own.eos_token_id, own.repetition_penalty = 20, 65, 3.0
        again, _ = generate_batch(lm, tokenizer, prompts, decoding)
    assert again == plain


def test_base_is_the_base_and_tuned_is_not(model, small_model, tokenizer, prompts, decoding):
    with active(model, "base") as lm:
        base, _ = generate_batch(lm, tokenizer, prompts, decoding)
    with active(model, "tuned") as lm:
        tuned, _ = generate_batch(lm, tokenizer, prompts, decoding)
    pure, _ = generate_batch(small_model, tokenizer, prompts, decoding)
    assert base == pure
    assert [one.prediction for one in tuned] != [one.prediction for one in base]


def test_tokens_are_counted_to_the_stop_id_and_truncation_is_its_absence(
    monkeypatch, model, tokenizer, prompts, decoding
):
    stop = decoding.stop_ids[0]
    text = tokenizer.encode("Up", add_special_tokens=False)
    lines = [[*text, stop], text + text, [stop]]
    monkeypatch.setattr(generate, "greedy_ids", lambda *_: lines)
    answers, _ = generate_batch(model, tokenizer, prompts[:3], decoding)
    assert [(one.prediction, one.new_tokens, one.truncated) for one in answers] == [
        ("Up", 3, False),
        ("UpUp", 4, True),
        ("", 1, False),
    ]


def test_marks_of_a_template_are_left_out_of_the_text(
    monkeypatch, model, tokenizer, prompts, decoding
):
    header = tokenizer.convert_tokens_to_ids("<|start_header_id|>")
    text = tokenizer.encode("Up", add_special_tokens=False)
    monkeypatch.setattr(generate, "greedy_ids", lambda *_: [[header, *text]])
    answers, _ = generate_batch(model, tokenizer, prompts[:1], decoding)
    assert (answers[0].prediction, answers[0].new_tokens) == ("Up", 3)
