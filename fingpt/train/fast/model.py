"""A PEFT model of the Llama family whose decoder layers are the fast ones, where they fit it; and the loss of a pack.

transformers keeps embeddings, positions and the last norm; PEFT keeps the adapters, whose bf16 copies
are made anew whenever the optimizer has changed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from fingpt.train.fast.answers import AnswerLoss
from fingpt.train.fast.documents import Spans
from fingpt.train.fast.dropout import row_keys, threshold
from fingpt.train.fast.eight_bits import EightBits
from fingpt.train.fast.heads import Heads
from fingpt.train.fast.mlp import Mlp
from fingpt.train.fast.run import SITES, Means, Run, Tail, whole

_PROJECTIONS = {
    "self_attn": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}
_MULTIPLE = 128  # columns that kernels read at once


def misfit(model: Any, multiple: int = _MULTIPLE) -> str:
    """Why a PEFT model's layers cannot be computed this way, in words; empty where they can.

    Weights must be a `multiple` wide; plain twins of the kernels take any (1).
    """
    base = model.get_base_model()
    layers, config = getattr(base.model, "layers", ()), base.config
    if {type(layer).__name__ for layer in layers} != {"LlamaDecoderLayer"}:
        return "its layers are not those of Llama"
    if getattr(config, "hidden_act", "silu") != "silu":
        return f"its MLP has another activation, {config.hidden_act}"
    for layer in layers:
        for part, names in _PROJECTIONS.items():
            for name in names:
                module = getattr(getattr(layer, part), name)
                if not hasattr(module, "lora_A"):
                    return f"{name} has no adapter"
                if module.base_layer.bias is not None:
                    return f"{name} has a bias"
                if any(size % multiple for size in module.base_layer.weight.shape):
                    return f"{name} is no multiple of {multiple} wide"
    return ""


class FastLayers:
    """Takes over the forward of every decoder layer of a PEFT model; `loss` is that of loop.pack_loss.

    A pack's `seed` names its dropout: equal seeds drop the same.
    """

    def __init__(self, model: Any, means: Means) -> None:
        layers = self._layers = model.get_base_model().model.layers
        self._dropout = float(model.peft_config["default"].lora_dropout)
        self._sites = SITES * len(layers)
        self._means, self._head = means, model.get_base_model().lm_head
        self._head.forward = self._answers
        self._targets = torch.empty(0)
        self._parts: list[tuple[Heads, Mlp]] = []
        for index, layer in enumerate(layers):
            heads = Heads(layer, index, means, last=index == len(layers) - 1)
            self._parts.append((heads, Mlp(layer, index, means)))
            layer.forward = self._forward_of(index)
        self._joined = [one for parts in self._parts for part in parts for one in part.joined]
        self._gather()
        self._watch = register_optimizer_step_post_hook(lambda *_: self._follow())

    def _follow(self) -> None:
        """Copy the masters at once, while the GPU still computes: the next step waits for the loss of this one.

        A fused optimizer changes parameters and not their versions.
        """
        self._versions.clear()
        self._refresh()

    def _gather(self) -> None:
        """Find copies and masters, which are not alike yet."""
        copies = [pair for one in self._joined for pair in one.copies]
        self._copies, self._masters = ([pair[at] for pair in copies] for at in (0, 1))
        self._versions: list[int] = []

    def reduce(self, eight: EightBits, *, base: bool, gradient: bool, park: bool = False) -> None:
        """Compute products with frozen weights in 8 bits from now on, see Joined; `park`, if `restore` may follow."""
        for one in self._joined:
            one.reduce(eight, base=base, gradient=gradient, park=park)
        self._gather()

    def settle(self) -> None:
        """Forget what `restore` would need."""
        for one in self._joined:
            one.settle()

    def restore(self) -> None:
        """Compute as before `reduce`."""
        for one in self._joined:
            one.restore()
        self._gather()

    def leave(self) -> None:
        """Give the layers back to transformers."""
        self._watch.remove()
        for each in (*self._layers, self._head):
            del each.forward

    def loss(self, model: Any, pack: Mapping[str, Any]) -> torch.Tensor:
        """Cross entropy over a pack's answers, summed; without a `seed` in it nothing is dropped."""
        self._refresh()
        self._targets = pack["targets"]
        found: torch.Tensor = model(
            input_ids=pack["input_ids"],
            position_ids=pack["position_ids"],
            use_cache=False,
            logits_to_keep=0 if pack["predictors"].numel() else pack["predictors"],
            fast={"pack": pack},
        ).logits
        return found

    def _answers(self, hidden: torch.Tensor) -> torch.Tensor:
        """The output layer's forward: the loss where transformers has logits."""
        gradient = self._means.elementwise.loss_gradient
        keep = torch.is_grad_enabled()
        found: torch.Tensor = AnswerLoss.apply(  # type: ignore[no-untyped-call]
            hidden[0], self._head.weight, self._targets, gradient, keep
        )
        return found

    def _refresh(self) -> None:
        """Copy the masters where one of them has changed."""
        versions = [master._version for master in self._masters]
        if versions == self._versions:
            return
        torch._foreach_copy_(self._copies, [master.detach() for master in self._masters])
        self._versions = versions

    def _forward_of(self, index: int) -> Any:
        def forward(hidden: Any, *_: Any, **given: Any) -> Any:
            heads, mlp = self._parts[index]
            shared = given["fast"]
            if index == 0:
                shared["run"] = self._run(shared, given["position_embeddings"])
                hidden = (hidden[0], None)
            hidden = mlp(heads(hidden, shared["run"]), shared["run"])
            return whole(hidden)[None] if index == len(self._parts) - 1 else hidden

        return forward

    def _run(self, shared: dict[str, Any], turn: tuple[torch.Tensor, torch.Tensor]) -> Run:
        pack = shared["pack"]
        seed = pack.get("seed")
        borders, longest = pack["borders"], pack["longest"]
        tail = None
        if pack["predictors"].numel():
            spans = Spans(pack["tail_borders"], borders, pack["longest_tail"], longest)
            tail = Tail(pack["tail"], pack["wanted"], pack["predictors"], spans)
        keys = None
        if seed is not None and self._dropout:
            keys = row_keys(seed, self._sites, pack["input_ids"].shape[1], borders.device)
        return Run(
            spans=Spans(borders, borders, longest, longest),
            turn=(turn[0][0], turn[1][0]),
            tail=tail,
            row_keys=keys,
            dropout=(self._dropout, threshold(self._dropout)),
            keep=torch.is_grad_enabled(),
        )
