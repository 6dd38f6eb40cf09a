"""Label log-likelihoods: the tree on the shared cache gives what twelve whole passes give, for any lengths."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.errors import DataError, DivergedError
from fingpt.eval.labels import LabelTree, label_logp
from fingpt.eval.model import active, load
from fingpt.eval.prompts import Prompt
from fingpt.models import spec
from fingpt.prompts.chat import label_ids, load_tokenizer, render
from fingpt.prompts.examples import LABELS, PREDICTION_HEADER
from fingpt.synthetic.rows import sample_rows
from fingpt.synthetic.tiny import build_tokenizer
from tests.eval.invented import MODEL, answer, example

FAMILIES = ("tiny-llama31", "tiny-deepseek-r1")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """Model table row, tokenizer, and a random model in fp32 of each family."""
    folder = tmp_path_factory.mktemp(request.param)
    row = spec(request.param)
    build_tokenizer(row, [one.answer for one in sample_rows()["train"]], folder / "tokenizer.json")
    tokenizer = load_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,  # a forgotten position changes what it says
    )
    return row, tokenizer, LlamaForCausalLM(config).eval()


def prompts_of(row, tokenizer, count=5):
    found = (render(row, tokenizer, example(n), 4096) for n in range(count))
    return [Prompt(example(n), one.prompt_ids, one.answer_ids) for n, one in enumerate(found)]


def whole_passes(model, prompt, header, continuations):
    """Each label by a pass of its own over prompt, header and label."""
    found = []
    for line in continuations:
        ids = [*prompt.prompt_ids, *header, *line]
        with torch.inference_mode():
            logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
        start = len(ids) - len(line) - 1
        found.append(sum(float(logp[start + n, token]) for n, token in enumerate(line)))
    return found


def test_one_pass_and_a_tree_give_what_twelve_whole_passes_give(family):
    row, tokenizer, model = family
    prompts = prompts_of(row, tokenizer)
    assert len({len(prompt.prompt_ids) for prompt in prompts}) > 2  # padding is at work
    header, continuations = label_ids(row, tokenizer)
    found = label_logp(model, prompts, LabelTree.of(header, continuations), 3)
    assert {one.example for one in found} == {prompt.example.id for prompt in prompts}
    for prompt in prompts:
        logp = next(one.logp for one in found if one.example == prompt.example.id)
        wanted = whole_passes(model, prompt, header, continuations)
        assert logp == pytest.approx(wanted, abs=2e-5)
        assert len({round(value, 3) for value in logp}) == len(LABELS)


def test_header_and_label_are_tokenised_as_in_the_answers_that_training_sees(family):
    row, tokenizer, _ = family
    header, continuations = label_ids(row, tokenizer)
    for label, line in zip(LABELS, continuations, strict=True):
        text = answer().replace("Up by 2-3%", label.capitalize())
        ids = list(render(row, tokenizer, replace(example(0), answer=text), 4096).answer_ids)
        wanted = [*header, *line]
        places = [n for n in range(len(ids)) if ids[n : n + len(wanted)] == wanted]
        assert len(places) == 1, label


def test_base_and_tuned_are_scored_apart(base_folder, adapter_folder, small_model, tokenizer):
    model = load(base_folder, adapter_folder, torch.device("cpu"), torch.float32)
    prompts = prompts_of(MODEL, tokenizer)
    tree = LabelTree.of(*label_ids(MODEL, tokenizer))
    with active(model, "base") as lm:
        base = label_logp(lm, prompts, tree, 2)
    with active(model, "tuned") as lm:
        tuned = label_logp(lm, prompts, tree, 2)
    pure = label_logp(small_model, prompts, tree, 5)
    assert [one.example for one in base] == [one.example for one in pure]
    for one, same, other in zip(base, pure, tuned, strict=True):
        assert one.logp == pytest.approx(same.logp, abs=1e-3)
        assert one.logp != pytest.approx(other.logp, abs=1e-2)


def test_a_tree_shares_beginnings_and_keeps_every_step():
    tree = LabelTree.of((9,), [(1, 2, 3), (1, 2, 4), (1, 5), (6,)])
    assert (tree.tokens, tree.parents, tree.depths()) == ((1, 2), (0, 1), [0, 1])
    assert tree.steps == (
        ((0, 1), (1, 2), (2, 3)),
        ((0, 1), (1, 2), (2, 4)),
        ((0, 1), (1, 5)),
        ((0, 6),),
    )
    assert tree.sees().tolist() == [[True, False], [True, True]]


def test_a_header_that_is_planted_with_its_labels_scores_them_alike(small_model, tokenizer):
    prompts = prompts_of(MODEL, tokenizer, 3)
    tree = LabelTree.of(*label_ids(MODEL, tokenizer))
    planted = tree.planted()
    assert (planted.header, planted.planted()) == ((), planted)
    assert planted.tokens == tree.header + tree.tokens
    found, wanted = (label_logp(small_model, prompts, one, 2) for one in (planted, tree))
    for one, same in zip(found, wanted, strict=True):
        assert one.logp == pytest.approx(same.logp, abs=1e-4)


def test_labels_of_one_token_each_need_no_tree(small_model, tokenizer):
    prompts = prompts_of(MODEL, tokenizer, 2)
    tree = LabelTree.of((72,), [(1,), (2,), (3,)])
    found = label_logp(small_model, prompts, tree, 2)
    for one in found:
        prompt = next(p for p in prompts if p.example.id == one.example)
        wanted = whole_passes(small_model, prompt, (72,), [(1,), (2,), (3,)])
        assert one.logp == pytest.approx(wanted, abs=1e-3)


def test_log_likelihoods_that_are_not_finite_name_the_row(small_model, tokenizer):
    kept = small_model.lm_head.weight.detach().clone()
    with torch.no_grad():
        small_model.lm_head.weight.fill_(float("nan"))
    tree = LabelTree.of(*label_ids(MODEL, tokenizer))
    try:
        with pytest.raises(DivergedError, match=r"S\d 2024-01-07 to 2024-01-14 are not finite"):
            label_logp(small_model, prompts_of(MODEL, tokenizer), tree, 2)
    finally:
        with torch.no_grad():
            small_model.lm_head.weight.copy_(kept)


def test_a_tokenizer_that_joins_header_and_label_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {c: n for n, c in enumerate([*alphabet, ":Ġ"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[(":", "Ġ")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    joined = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert PREDICTION_HEADER.endswith(":")
    with pytest.raises(DataError, match=r"joins the end of 'Prediction:'"):
        label_ids(MODEL, joined)
