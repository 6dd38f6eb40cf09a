"""Losses and label scores by the layers that training is fast with: packs without padding, few large products.

Adapters stay apart from the base's weights, in bf16 as in training; the base is the same pass without their products.
`fingpt.eval.loss` and `fingpt.eval.labels` say the same by transformers, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import linear

from fingpt.eval import packed
from fingpt.eval.ahead import Result, numbers, there
from fingpt.eval.branches import Grown, Reach
from fingpt.eval.labels import LabelScores, LabelTree, label_scores, label_sums
from fingpt.eval.loss import finite
from fingpt.eval.model import Variant
from fingpt.eval.packed import Document, Pack, answered, both, filled, headed, make_pack
from fingpt.eval.prompts import Prompt
from fingpt.train.fast.documents import Spans
from fingpt.train.fast.heads import Heads
from fingpt.train.fast.mlp import Mlp
from fingpt.train.fast.run import Means, Pair, Run, Tail, whole

_REHEARSED = 8  # rows of a full pack
_LOGIT_ROWS = 4096  # of a vocabulary of 128,256: 1 GiB in bf16, 2 in fp32


class FastScoring:
    """`model`: a PEFT model whose layers the fast ones fit; `means`: how this machine computes them.

    The model's own layers work as before; their weights lie in the same memory.
    """

    def __init__(self, model: Any, means: Means) -> None:
        self._base, self._means = model.get_base_model(), means
        layers = self._base.model.layers
        self._parts = [
            (Heads(layer, index, means, last=index == len(layers) - 1), Mlp(layer, index, means))
            for index, layer in enumerate(layers)
        ]
        self._joined = [one for parts in self._parts for part in parts for one in part.joined]
        self._scales = [one.scale for one in self._joined]
        for copy, master in (pair for one in self._joined for pair in one.copies):
            copy.copy_(master.detach())

    def rehearse(self) -> None:
        """Passes over invented rows, a full pack among them: what does not work on this machine raises here."""
        rows = [Document((0,) * 59, 22), Document((0,) * 34, 11)]
        tree = LabelTree.of((), [(0, 0), (0, 1, 0)])
        each = packed.PACK_TOKENS // _REHEARSED
        full = [Document((row,) * each, each // 4) for row in range(_REHEARSED)]
        with torch.no_grad():
            for pack in (make_pack(rows), make_pack(rows, tree), make_pack(full)):
                states = self._states(pack, "tuned")
                self._answer_nll(
                    states, torch.zeros_like(states[:, 0], dtype=torch.int64)
                ).sum().item()

    def losses(
        self,
        variant: Variant,
        prompts: Sequence[Prompt],
        done: Callable[[int], None] = lambda _: None,
    ) -> dict[str, float]:
        """As `fingpt.eval.loss.answer_nll`."""
        ordered = _ordered(prompts)
        found: dict[str, float] = {}

        for some, values in self._passes(variant, ordered, answered, None, self._answer_sums):
            found |= {
                prompt.example.id: finite(prompt, nll)
                for prompt, nll in zip(some, values, strict=True)
            }
            done(len(some))
        return found

    def labels(
        self,
        variant: Variant,
        prompts: Sequence[Prompt],
        tree: LabelTree,
        done: Callable[[int], None] = lambda _: None,
        *,
        answers: bool = False,
    ) -> list[LabelScores]:
        """As `fingpt.eval.labels.label_logp`; with `answers`, their losses out of the same passes."""
        if answers:
            return self._both(variant, prompts, tree, done)
        ordered = _ordered(prompts)
        found: list[LabelScores] = []

        def sums(some: Sequence[Prompt], states: torch.Tensor) -> torch.Tensor:
            return self._label_sums(states[: len(some)], states[len(some) :], tree)

        for some, values in self._passes(
            variant, ordered, lambda prompt: headed(prompt, tree), tree, sums
        ):
            found += [label_scores(prompt, row) for prompt, row in zip(some, values, strict=True)]
            done(len(some))
        return found

    def _both(
        self,
        variant: Variant,
        prompts: Sequence[Prompt],
        tree: LabelTree,
        done: Callable[[int], None],
    ) -> list[LabelScores]:
        """Labels and losses of prompts that are read once: trees hang on their ends, answers follow them."""
        ordered = _ordered(prompts)
        found: list[LabelScores] = []

        def sums(some: Sequence[Prompt], states: torch.Tensor) -> torch.Tensor:
            sizes = [len(prompt.answer_ids) for prompt in some]
            *firsts, end = accumulate(sizes, initial=0)
            losses = self._answer_sums(some, states[:end])
            ends = states[numbers(firsts, states.device, torch.int64)]
            labels = self._label_sums(ends, states[end:], tree)
            return torch.cat([labels, losses[:, None]], 1)

        planted = tree.planted()
        for some, values in self._passes(variant, ordered, both, planted, sums):
            found += [
                label_scores(prompt, row[:-1], finite(prompt, row[-1]))
                for prompt, row in zip(some, values, strict=True)
            ]
            done(len(some))
        return found

    def _passes(
        self,
        variant: Variant,
        prompts: Sequence[Prompt],
        document: Callable[[Prompt], Document],
        tree: LabelTree | None,
        score: Callable[[Sequence[Prompt], torch.Tensor], torch.Tensor],
    ) -> Iterator[tuple[Sequence[Prompt], Any]]:
        """Prompts and what `score` made of their states, as numbers, pack by pack; one pack ahead of the reader."""
        documents = [document(prompt) for prompt in prompts]
        before: tuple[Sequence[Prompt], Result] | None = None
        for part in filled(documents, len(tree.tokens) if tree else 0):
            with torch.no_grad():
                states = self._states(make_pack(documents[part], tree), variant)
                now = (prompts[part], Result(score(prompts[part], states)))
            if before:
                yield before[0], before[1].wait()
            before = now
        if before:
            yield before[0], before[1].wait()

    def _states(self, pack: Pack, variant: Variant) -> torch.Tensor:
        """States after the last norm at the pack's `wanted` places."""
        for joined, scale in zip(self._joined, self._scales, strict=True):
            joined.scale = scale if variant == "tuned" else 0.0
        inner, place = self._base.model, self._base.device
        hidden = inner.embed_tokens(there(pack.ids, place))
        turn = inner.rotary_emb(hidden, there(pack.positions, place)[None])
        run = _run(pack, (turn[0][0], turn[1][0]), place)
        pair: Pair = (hidden, None)
        for heads, mlp in self._parts:
            pair = mlp(heads(pair, run), run)
        found: torch.Tensor = inner.norm(whole(pair))
        return found

    def _answer_sums(self, some: Sequence[Prompt], states: torch.Tensor) -> torch.Tensor:
        """Losses (fp64) of answers, from the states that predict their tokens, answer by answer."""
        tokens = [token for prompt in some for token in prompt.answer_ids]
        nll = self._answer_nll(states, numbers(tokens, states.device, torch.int64))
        parts = torch.split(nll.double(), [len(prompt.answer_ids) for prompt in some])
        return torch.stack([part.sum() for part in parts])

    def _label_sums(self, ends: torch.Tensor, nodes: torch.Tensor, tree: LabelTree) -> torch.Tensor:
        """Log-likelihoods (rows × labels, fp64) of `tree`, from the states of prompts' ends and of all nodes.

        The first nodes may be those of a planted tree's header, whose last one then stands for node 0.
        """
        rows = torch.cat([ends[:, None], nodes.view(len(ends), -1, ends.shape[1])], 1)
        rows = rows[:, -1 - len(tree.tokens) :]
        logits = linear(rows, self._base.get_output_embeddings().weight)
        return label_sums(torch.log_softmax(logits, dim=-1, dtype=torch.float32), tree)

    def _answer_nll(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        head = self._base.get_output_embeddings().weight
        parts = zip(
            torch.split(states, _LOGIT_ROWS), torch.split(targets, _LOGIT_ROWS), strict=True
        )
        losses = self._means.elementwise.losses
        return torch.cat([losses(linear(some, head), ids) for some, ids in parts])


def _ordered(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those that begin alike beside each other; an order that depends on the prompts alone."""
    return sorted(prompts, key=lambda prompt: (prompt.prompt_ids, prompt.example.id))


def _run(pack: Pack, turn: tuple[torch.Tensor, torch.Tensor], place: torch.device) -> Run:
    """The pass over `pack`, forward alone; its last layer computes what is wanted."""
    wanted = there(pack.wanted(), place)
    return Run(
        spans=_spans(pack, None, place),
        turn=turn,
        tail=Tail(
            rows=wanted,
            wanted=torch.arange(wanted.numel(), device=place),
            places=wanted,
            spans=_spans(pack, pack.scored, place),
        ),
        row_keys=None,
        dropout=(0.0, 0),
        keep=False,
    )


def _spans(pack: Pack, asking: Sequence[int] | None, place: torch.device) -> Spans:
    """Spans of a pack where the last `asking` rows of each document ask, None for all rows, and all nodes."""
    lengths, own = pack.lengths, pack.lengths[pack.stems :]
    whole = _borders(own, place)
    if asking is not None:
        asks = Spans(_borders(asking, place), whole, max(asking), max(own))
    elif pack.stems:
        sizes = pack.sizes
        borders = _borders(sizes, place), _borders(lengths, place)
        asks = Spans(*borders, max(sizes), max(lengths))
    else:
        asks = Spans(whole, whole, max(own), max(own))
    if not pack.stems and not pack.nodes:
        return asks
    reach = None
    if pack.nodes:
        nodes = _borders([pack.nodes] * len(own), place)
        seen = numbers(list(pack.seen), place, torch.int32)
        reach = Reach(nodes, whole, pack.nodes, max(own), seen)
    stems = sum(lengths[: pack.stems])  # keys before those of documents
    return Grown(
        *(asks.queries, asks.keys, asks.most_queries, asks.most_keys),
        rows=there(pack.keys(), place) if pack.stems else None,
        skip=0 if asking is None else stems,
        stems=stems,
        documents=asks,
        across=reach,
        sees=there(pack.sees, place),
        split=(sum(pack.sizes if asking is None else asking), pack.paths[-1][-1][1]),
    )


def _borders(sizes: Sequence[int], place: torch.device) -> torch.Tensor:
    return numbers([0, *accumulate(sizes)], place, torch.int32)
