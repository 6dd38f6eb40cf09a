"""Log-likelihoods of the twelve labels after a prompt and the fixed header of a prediction, by transformers.

The prompt is read once; the twelve continuations share beginnings, so they hang on its cache as one tree, whose nodes
see the prompt and their own ancestors. The result is that of twelve whole passes. Nothing is generated, so nothing has
to be parsed. What is scored and where it is stored is `fingpt.eval.arms`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fingpt.errors import DivergedError
from fingpt.eval.ahead import numbers
from fingpt.eval.prompts import Prompt, batches, passes
from fingpt.record import Frozen


class LabelScores(Frozen):
    """Log-likelihoods in nats of the labels for one example, in the order of `fingpt.prompts.examples.LABELS`.

    `nll`: the sum of its answer tokens' negative log-likelihoods, where the same pass measured it.
    """

    example: str
    logp: tuple[float, ...]
    nll: float | None = None


@dataclass(frozen=True)
class LabelTree:
    """Continuations of one header as a tree.

    Node 0 is the end of the header; node n > 0 holds `tokens[n - 1]` and hangs on node `parents[n - 1]`, a smaller
    number. Last tokens are no nodes: nothing is predicted after them. `steps` has, for each continuation, the pairs
    (node that predicts, token that is predicted).
    """

    header: tuple[int, ...]
    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    steps: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, header: Sequence[int], continuations: Sequence[Sequence[int]]) -> LabelTree:
        """The tree of `continuations`, none of which may be empty."""
        nodes: dict[tuple[int, ...], int] = {(): 0}
        parents: list[int] = []
        for line in continuations:
            for end in range(1, len(line)):
                if tuple(line[:end]) not in nodes:
                    parents.append(nodes[tuple(line[: end - 1])])
                    nodes[tuple(line[:end])] = len(nodes)
        steps = tuple(
            tuple((nodes[tuple(line[:end])], line[end]) for end in range(len(line)))
            for line in continuations
        )
        tokens = tuple(path[-1] for path in nodes if path)
        return cls(tuple(header), tokens, tuple(parents), steps)

    def planted(self) -> LabelTree:
        """The same with the header as its first nodes: it hangs on a prompt, whose end is node 0."""
        more = len(self.header)
        return LabelTree(
            header=(),
            tokens=self.header + self.tokens,
            parents=(*range(more), *(parent + more for parent in self.parents)),
            steps=tuple(tuple((node + more, token) for node, token in line) for line in self.steps),
        )

    def depths(self) -> list[int]:
        """Tokens between the header and each node but node 0: its place in the text."""
        found = [-1]
        for parent in self.parents:
            found.append(found[parent] + 1)
        return found[1:]

    def sees(self) -> torch.Tensor:
        """(nodes, nodes) without node 0: True where the column is the row's node itself or one of its ancestors."""
        seen = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent:
                seen[node] |= seen[parent - 1]
        return seen


def label_logp(
    model: Any,
    prompts: Sequence[Prompt],
    tree: LabelTree,
    batch_size: int,
    done: Callable[[int], None] = lambda _: None,
) -> list[LabelScores]:
    """Scores of every prompt, in an order that depends on the prompts alone; answers of `prompts` are not looked at.

    `model` is a causal language model of transformers; `done` is called with the size of every finished batch.
    DivergedError names the example whose log-likelihoods are not finite.
    """
    found: list[LabelScores] = []
    for batch in batches(prompts, batch_size, lambda prompt: len(prompt.prompt_ids)):
        rows = _batch_logp(model, [prompt.prompt_ids + tree.header for prompt in batch], tree)
        found += [label_scores(prompt, row) for prompt, row in zip(batch, rows, strict=True)]
        done(len(batch))
    return found


def label_scores(prompt: Prompt, logp: Sequence[float], nll: float | None = None) -> LabelScores:
    """The record of one example's log-likelihoods; DivergedError names the example when they are not finite."""
    if not all(abs(value) < float("inf") for value in logp):
        raise DivergedError(
            f"The label probabilities of {prompt.example.symbol} {prompt.example.period} are not finite; the "
            "adapter's weights have diverged: train again with a lower train.lr."
        )
    return LabelScores(example=prompt.example.id, logp=tuple(logp), nll=nll)


@torch.inference_mode()
def _batch_logp(model: Any, batch: Sequence[tuple[int, ...]], tree: LabelTree) -> list[list[float]]:
    """Log-likelihoods (rows × labels) of the continuations of `tree` after each sequence of `batch`."""
    parts = passes([len(ids) for ids in batch], model.device.type)
    return [row for part in parts for row in _pass_logp(model, batch[part], tree)]


def _pass_logp(model: Any, batch: Sequence[tuple[int, ...]], tree: LabelTree) -> list[list[float]]:
    place, decoder = model.device, model.get_decoder()
    lengths = torch.tensor([len(ids) for ids in batch])
    longest = int(lengths.max())
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for index, sequence in enumerate(batch):
        ids[index, : len(sequence)] = torch.tensor(sequence)
    # No mask: under causal attention no real position sees the padding to its right, and the fast kernels want none.
    read = decoder(input_ids=ids.to(place), use_cache=True)
    ends = read.last_hidden_state[torch.arange(len(batch)), lengths - 1]
    states = ends[:, None]
    if tree.tokens:
        # Here the padding is hidden: it lies in the cache before the tree.
        prompt = torch.arange(longest)[None, :] < lengths[:, None]
        mask = torch.cat(
            [
                prompt[:, None, :].expand(-1, len(tree.tokens), -1),
                tree.sees().expand(len(batch), -1, -1),
            ],
            dim=2,
        )
        branches = decoder(
            input_ids=torch.tensor(tree.tokens).expand(len(batch), -1).to(place),
            attention_mask=mask[:, None].to(place),
            position_ids=(lengths[:, None] + torch.tensor(tree.depths())).to(place),
            past_key_values=read.past_key_values,
            use_cache=True,
        )
        states = torch.cat([states, branches.last_hidden_state], dim=1)
    head = model.get_output_embeddings()
    # One row at a time: over a vocabulary of 128,256 the logits of a whole batch are large.
    sums = [label_sums(torch.log_softmax(head(row).float(), dim=-1), tree) for row in states]
    found: list[list[float]] = torch.stack(sums).tolist()
    return found


def label_sums(logp: torch.Tensor, tree: LabelTree) -> torch.Tensor:
    """Sums over each continuation's steps (… × labels); `logp` is (… × nodes × vocabulary), node 0 first."""
    nodes = numbers([node for line in tree.steps for node, _ in line], logp.device, torch.int64)
    tokens = numbers([token for line in tree.steps for _, token in line], logp.device, torch.int64)
    lines = torch.split(logp[..., nodes, tokens].double(), [len(line) for line in tree.steps], -1)
    return torch.stack([line.sum(-1) for line in lines], -1)
