"""Losses and label scores by the fast layers' plain twins are those of transformers, for any rows and both variants."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

from fingpt.errors import DivergedError, SetupError
from fingpt.eval import packed, scoring
from fingpt.eval.branches import BranchAttention, Reach, added, among, plain_across
from fingpt.eval.labels import LabelTree
from fingpt.eval.packed import Document, filled, make_pack
from fingpt.eval.prompts import Prompt
from fingpt.eval.scoring import TransformersScoring, score_by
from fingpt.eval.scoring_fast import FastScoring
from fingpt.prompts.chat import label_ids, render_all
from fingpt.train.fast import elementwise
from fingpt.train.fast import model as fast_model
from fingpt.train.fast.documents import FlashAttention, PlainAttention
from fingpt.train.fast.products import PLAIN_PRODUCTS
from fingpt.train.fast.run import Means
from tests.eval.invented import MODEL, example
from tests.train.small_llama import tuned_llama

SCALE = 8**-0.5  # of heads 8 wide


@pytest.fixture
def model():
    found = tuned_llama(3, "sdpa").eval()
    found.get_base_model().config.max_position_embeddings = 4096
    return found


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[Prompt]:
    rows = [example(number) for number in range(7)]
    rendered = render_all(MODEL, tokenizer, rows, 4096)
    return [
        Prompt(row, one.prompt_ids, one.answer_ids) for row, one in zip(rows, rendered, strict=True)
    ]


@pytest.fixture(scope="module")
def tree(tokenizer) -> LabelTree:
    return LabelTree.of(*label_ids(MODEL, tokenizer))


def fast(model) -> FastScoring:
    return FastScoring(model, Means(BranchAttention(PlainAttention(SCALE), plain_across, SCALE)))


def done(_: int) -> None:
    pass


def assert_alike(found, wanted) -> None:
    """The same rows, and log-likelihoods that differ by rounding alone."""
    other = {one.example: one.logp for one in wanted}
    assert {one.example for one in found} == set(other)
    for one in found:
        assert one.logp == pytest.approx(other[one.example], abs=2e-4)


@pytest.mark.parametrize("tokens", [packed.PACK_TOKENS, 1500, 1])
def test_losses_and_labels_are_those_of_transformers(model, prompts, tree, tokens, monkeypatch):
    monkeypatch.setattr(packed, "PACK_TOKENS", tokens)
    plain = TransformersScoring(model, 3)
    wanted = {
        variant: (plain.labels(variant, prompts, tree, done), plain.losses(variant, prompts, done))
        for variant in ("base", "tuned")
    }
    ways = fast(model)
    for variant in ("tuned", "base", "tuned"):
        labels, losses = wanted[variant]
        seen: list[int] = []
        found = ways.labels(variant, prompts, tree, seen.append)
        assert_alike(found, labels)
        assert [one.example for one in ways.labels(variant, prompts[::-1], tree)] == [
            one.example for one in found
        ]
        assert sum(seen) == len(prompts)
        assert len(seen) == (1 if tokens > 10_000 else len(prompts) if tokens == 1 else len(seen))
        assert ways.losses(variant, prompts, done) == pytest.approx(losses, rel=1e-5)
    assert wanted["base"][0] != wanted["tuned"][0]


@pytest.mark.parametrize("tokens", [packed.PACK_TOKENS, 1500, 1])
def test_labels_and_losses_out_of_one_pass_are_those_of_two(
    model, prompts, tree, tokens, monkeypatch
):
    monkeypatch.setattr(packed, "PACK_TOKENS", tokens)
    plain, ways = TransformersScoring(model, 3), fast(model)
    for variant in ("tuned", "base"):
        labels = plain.labels(variant, prompts, tree, done, answers=True)
        losses = plain.losses(variant, prompts, done)
        seen: list[int] = []
        found = ways.labels(variant, prompts, tree, seen.append, answers=True)
        assert sum(seen) == len(found) == len(prompts)
        assert {one.example: one.nll for one in found} == pytest.approx(losses, rel=1e-5)
        assert_alike(found, labels)


@pytest.mark.parametrize("header", [(), (72,), (72, 73)])
def test_headers_of_any_length_are_planted_with_their_labels(model, prompts, header):
    tree = LabelTree.of(header, [(1, 4), (1, 5), (2,)])
    plain = TransformersScoring(model, 3).labels("tuned", prompts, tree, done)
    assert_alike(fast(model).labels("tuned", prompts, tree, done, answers=True), plain)


def test_labels_of_one_token_each_hang_on_no_tree(model, prompts):
    tree = LabelTree.of((72,), [(1,), (2,), (3,)])
    plain = TransformersScoring(model, 3).labels("tuned", prompts, tree, done)
    assert_alike(fast(model).labels("tuned", prompts, tree, done), plain)


def test_the_base_is_read_without_the_adapters_products(model, prompts):
    asked: list[int] = []

    def project(*given):
        asked.append(given[1].shape[0])
        return PLAIN_PRODUCTS.project(*given)

    attention = BranchAttention(PlainAttention(SCALE), plain_across, SCALE)
    products = PLAIN_PRODUCTS._replace(project=project)
    ways = FastScoring(model, Means(attention, products=products))
    ways.losses("base", prompts[:2], done)
    assert asked == []
    ways.losses("tuned", prompts[:2], done)
    assert len(asked) == 4 * 3  # products of a layer, layers


def test_the_model_still_answers_as_before(model, prompts):
    ids = torch.tensor([prompts[0].prompt_ids])
    before = model(ids).logits
    ways = fast(model)
    ways.losses("base", prompts[:2], done)
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=1e-5)


def test_weights_that_diverged_are_told_of_with_their_row(model, prompts, tree):
    ways = fast(model)
    model.get_base_model().lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"loss of row .* is nan"):
        ways.losses("tuned", prompts, done)
    with pytest.raises(DivergedError, match=r"label probabilities of .* are not finite"):
        ways.labels("tuned", prompts, tree, done)


def test_a_loss_that_diverged_is_told_of_where_labels_came_with_it(
    model, prompts, tree, monkeypatch
):
    ways = fast(model)
    monkeypatch.setattr(
        FastScoring,
        "_answer_nll",
        lambda _, states, targets: torch.full_like(targets, 1, dtype=states.dtype) / 0,
    )
    with pytest.raises(DivergedError, match=r"loss of row .* is inf"):
        ways.labels("tuned", prompts, tree, done, answers=True)


def test_nodes_see_their_document_and_their_ancestors_alone():
    torch.manual_seed(0)
    sees = torch.tensor([[True, False, False], [True, True, False], [False, False, True]])
    sizes, width = (5, 2), 8
    q, (k, v) = torch.randn(6, 4, width), torch.randn(2, 6, 2, width)
    keys, values = torch.randn(2, sum(sizes), 2, width)
    borders = torch.tensor([0, 3, 6]), torch.tensor([0, *sizes]).cumsum(0)
    spans = Reach(*borders, 3, 5, seen=torch.tensor([4, 2]))
    above = plain_across(q, keys, values, spans, SCALE)
    found = added(above, among(q, k, v, sees, SCALE))
    for document, (start, stop) in enumerate(((0, 4), (5, 7))):  # a node sees four of the first
        mine = slice(3 * document, 3 * document + 3)
        all_k, all_v = (torch.cat([a[start:stop], b[mine]]) for a, b in ((keys, k), (values, v)))
        mask = torch.cat([torch.ones(3, stop - start, dtype=torch.bool), sees], 1)
        wanted = torch.nn.functional.scaled_dot_product_attention(
            *(part.transpose(0, 1)[None] for part in (q[mine], all_k, all_v)),
            attn_mask=mask, scale=SCALE, enable_gqa=True,
        )  # fmt: skip
        torch.testing.assert_close(found[mine], wanted[0].transpose(0, 1), rtol=1e-5, atol=1e-5)


def test_packs_hold_what_fits_and_a_long_row_alone(monkeypatch):
    monkeypatch.setattr(packed, "PACK_TOKENS", 10)
    rows = [Document((0,) * size, 1) for size in (12, 6, 4, 3, 3)]
    assert filled(rows) == [slice(0, 1), slice(1, 3), slice(3, 5)]
    assert filled(rows, 2) == [slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 5)]
    assert filled([]) == []


def test_a_pack_has_the_trees_behind_all_documents():
    tree = LabelTree.of((), [(7, 8, 1), (7, 9, 1)])
    pack = make_pack([Document((1, 2, 3), 1), Document((4, 5), 1)], tree)
    assert pack.stems == 0
    assert pack.ids.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 7, 8, 9]
    assert pack.positions.tolist() == [0, 1, 2, 0, 1, 3, 4, 4, 2, 3, 3]
    assert pack.wanted().tolist() == [2, 4, 5, 6, 7, 8, 9, 10]
    plain = make_pack([Document((1, 2, 3), 2), Document((4, 5), 1)])
    assert plain.wanted().tolist() == [1, 2, 4]


def test_a_tree_on_a_prompt_has_its_positions_after_the_prompt():
    tree = LabelTree.of((6,), [(7, 8)]).planted()
    pack = make_pack([Document((1, 2, 3, 4, 5), 3, prompt=3)], tree)
    assert pack.seen == (3,)
    assert pack.positions.tolist() == [0, 1, 2, 3, 4, 3, 4]
    assert pack.wanted().tolist() == [2, 3, 4, 5, 6]


@pytest.fixture
def short_stems(monkeypatch):
    monkeypatch.setattr(packed, "STEM", 2)


def test_what_documents_begin_with_stands_in_a_pack_once(short_stems):
    tree = LabelTree.of((), [(7, 8)])
    pack = make_pack([Document((1, 2, 3, 4), 1), Document((1, 2, 5), 1)], tree)
    assert pack.stems == 1
    assert pack.ids.tolist() == [1, 2, 3, 4, 5, 7, 7]
    assert pack.positions.tolist() == [0, 1, 2, 3, 2, 4, 3]
    assert pack.wanted().tolist() == [3, 4, 5, 6]
    assert pack.keys().tolist() == [0, 1, 0, 1, 2, 3, 0, 1, 4]
    # What is scored is each one's own, a document alone shares nothing, and what is shorter is not worth it.
    assert make_pack([Document((1, 2, 3), 2), Document((1, 2, 4), 1)]).stems == 0
    assert make_pack([Document((1, 2, 3), 1)]).stems == 0
    assert make_pack([Document((1, 3, 3), 1), Document((1, 2, 4), 1)]).stems == 0


def test_stems_grow_from_stems(short_stems):
    rows = [
        (1, 2, 3),
        (1, 2, 4, 4, 5),
        (1, 2, 4, 4, 6),
        (1, 2, 4, 4, 7, 7, 8),
        (1, 2, 4, 4, 7, 7, 9),
    ]
    pack = make_pack([Document(row, 1) for row in (*rows, (3, 3, 3))])
    assert pack.stems == 3
    assert pack.ids.tolist() == [1, 2, 4, 4, 7, 7, 3, 5, 6, 8, 9, 3, 3, 3]
    assert pack.positions.tolist() == [0, 1, 2, 3, 4, 5, 2, 4, 4, 6, 6, 0, 1, 2]
    assert pack.lengths == [2, 4, 6, 3, 5, 5, 7, 7, 3]
    assert pack.sizes == [2, 2, 2, 1, 1, 1, 1, 1, 3]
    whole = [pack.ids[torch.cat([torch.arange(*part) for part in path])] for path in pack.paths]
    assert [tuple(one.tolist()) for one in whole[3:]] == [*rows, (3, 3, 3)]
    assert pack.keys().numel() == sum(pack.lengths)
    assert pack.wanted().tolist() == [6, 7, 8, 9, 10, 13]


@pytest.mark.parametrize("stem", [1, 3, 16, 10_000])
@pytest.mark.parametrize("answers", [False, True])
def test_rows_are_scored_alike_whatever_they_have_in_common(
    model, prompts, tree, stem, answers, monkeypatch
):
    monkeypatch.setattr(packed, "STEM", stem)
    begun = [(5, 6, 7, 8), (5, 6, 7, 9), (5, 6, 4, 4), (5, 6, 4, 4), (9,), (9, 9, 9), ()]
    strange = [
        Prompt(row.example, (*first, *row.prompt_ids), row.answer_ids)
        for first, row in zip(begun, prompts, strict=True)
    ]
    pack = make_pack(
        [packed.both(prompt) for prompt in sorted(strange, key=lambda p: p.prompt_ids)]
    )
    assert (pack.stems > 1) == (stem < 16)
    plain, ways = TransformersScoring(model, 3), fast(model)
    losses = plain.losses("tuned", strange, done)
    assert ways.losses("tuned", strange, done) == pytest.approx(losses, rel=1e-5)
    found = ways.labels("tuned", strange, tree, done, answers=answers)
    assert_alike(found, plain.labels("tuned", strange, tree, done))
    if answers:
        assert {one.example: one.nll for one in found} == pytest.approx(losses, rel=1e-5)


def test_rows_that_begin_alike_are_neighbours_in_a_pack(model, prompts, monkeypatch):
    """Else what introduces a company would be computed for each of its rows."""
    monkeypatch.setattr(packed, "STEM", 4)
    rows = [  # the longer, the later, and in turn of two companies
        Prompt(row.example, (*(number % 2,) * 4, *row.prompt_ids[: 40 + number]), row.answer_ids)
        for number, row in enumerate(prompts)
    ]
    assert make_pack([packed.answered(prompt) for prompt in rows]).stems == 0
    seen, real = [], FastScoring._states
    monkeypatch.setattr(
        FastScoring,
        "_states",
        lambda self, pack, variant: seen.append(pack.stems) or real(self, pack, variant),
    )
    fast(model).losses("tuned", rows)
    assert seen[0] >= 2


def test_the_scoring_is_kept_by_an_evaluation_that_goes_on(model, monkeypatch):
    _, name, why = score_by(model, "bf16", 3, None)
    assert (name, why) == ("transformers", "there is no GPU")
    with pytest.raises(
        SetupError, match=r"begun with the fast layers.*there is no GPU\): go on where"
    ):
        score_by(model, "bf16", 3, "fast")
    monkeypatch.setattr(scoring, "fast_scoring", lambda *_: (fast(model), "an attention"))
    found, name, why = score_by(model, "bf16", 3, None)
    assert (type(found), name, why) == (FastScoring, "fast", "an attention")
    assert type(score_by(model, "bf16", 3, "transformers")[0]) is TransformersScoring


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Everything up to the trial passes; what runs on a GPU alone is not there."""
    kernels = ModuleType("kernels")
    kernels.kernels = lambda: PLAIN_PRODUCTS
    monkeypatch.setitem(sys.modules, "fingpt.train.fast.kernels", kernels)
    monkeypatch.setattr(elementwise, "fused", lambda: elementwise.PLAIN_ELEMENTWISE)
    monkeypatch.setattr(scoring, "lack", lambda *_: "")
    monkeypatch.setattr(fast_model, "misfit", lambda _: "")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))


def test_a_trial_that_fails_leaves_transformers_and_the_reason(model, prompts, as_on_a_gpu):
    before = TransformersScoring(model, 3).losses("tuned", prompts, done)
    found, why = scoring.fast_scoring(model, "bf16")
    assert found is None
    assert "_flash_attention_forward" in why
    assert TransformersScoring(model, 3).losses("tuned", prompts, done) == pytest.approx(before)


@pytest.mark.parametrize(
    ("card", "fault", "kind", "says"),
    [
        ((8, 0), None, FlashAttention, f"{scoring.FLASH}: the card is older than Hopper"),
        ((9, 0), None, PlainAttention, scoring.KERNEL),
        ((9, 0), "ptxas fell", FlashAttention, f"{scoring.FLASH}: the own kernel does not work, ptxas fell"),
    ],
)  # fmt: skip
def test_attention_is_the_own_kernel_where_it_works_on_hopper(card, fault, kind, says, monkeypatch):
    def tried(scale, heads, width):
        assert (scale, heads, width) == (8**-0.5, (4, 2), 8)
        if fault:
            raise RuntimeError(fault)
        return PlainAttention(scale)

    module = ModuleType("attention_kernel")
    module.tried = tried
    monkeypatch.setitem(sys.modules, "fingpt.eval.attention_kernel", module)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: card)
    found, which = scoring._attention(8, (4, 2))
    assert (type(found), which) == (kind, says)


def test_a_card_too_small_for_a_pack_scores_by_transformers(model, as_on_a_gpu, monkeypatch):
    def rehearse(_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(FastScoring, "rehearse", rehearse)
    assert scoring.fast_scoring(model, "bf16") == (
        None,
        f"too little memory for {packed.PACK_TOKENS} tokens at once",
    )


def test_the_trial_reads_a_full_pack(model, monkeypatch):
    monkeypatch.setattr(packed, "PACK_TOKENS", 320)
    sizes, real = [], FastScoring._states
    monkeypatch.setattr(
        FastScoring,
        "_states",
        lambda self, pack, variant: sizes.append(pack.ids.numel()) or real(self, pack, variant),
    )
    fast(model).rehearse()
    assert max(sizes) == 320
