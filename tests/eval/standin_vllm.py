"""What is used of vLLM, over a model of transformers: for tests of what is asked of it where vLLM is not installed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float
    ignore_eos: bool
    detokenize: bool
    stop_token_ids: list[int] = field(default_factory=list)


class LLM:
    """Greedy, one prompt after another; `asked` is what every instance was loaded and called with."""

    asked: list[Any] = []  # noqa: RUF012
    fault: Exception | None = None

    def __init__(self, **arguments: Any) -> None:
        LLM.asked.append(arguments)
        if LLM.fault:
            raise LLM.fault
        self.longest = arguments["max_model_len"]
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            arguments["model"], dtype=torch.float32
        )

    def collective_rpc(self, method, *, kwargs):
        """Weights by the names of their files, all of them."""
        assert method == "reload_weights"
        LLM.asked.append(method)
        self.model.load_state_dict(dict(kwargs["weights_iterator"]), strict=True)

    def reset_prefix_cache(self):
        LLM.asked.append("reset")

    @torch.inference_mode()
    def generate(self, prompts, params, *, use_tqdm):
        LLM.asked.append(len(prompts))
        found = []
        for start in range(0, len(prompts), 64):
            few = list(zip(prompts[start : start + 64], params[start : start + 64], strict=True))
            lines = [list(prompt["prompt_token_ids"]) for prompt, _ in few]
            for line, (_, plan) in zip(lines, few, strict=True):
                assert plan.temperature == 0
                assert plan.ignore_eos
                assert len(line) + plan.max_tokens <= self.longest
            found += self._continue(lines, [plan for _, plan in few])
        return [SimpleNamespace(outputs=[output]) for output in found]

    def _continue(self, lines, plans):
        """The lines of one batch, token by token; one that has ended is carried along and cut afterwards."""
        begun = [len(line) for line in lines]
        for _ in range(max(plan.max_tokens for plan in plans)):
            for line, token in zip(lines, self._next(lines), strict=True):
                line.append(token)
        found = []
        for line, start, plan in zip(lines, begun, plans, strict=True):
            said = line[start : start + plan.max_tokens]
            end = next((n + 1 for n, one in enumerate(said) if one in plan.stop_token_ids), None)
            found.append(SimpleNamespace(token_ids=said[:end]))
        return found

    def _next(self, lines):
        """The likeliest token after each line; what is padded behind it no causal model sees."""
        ids = torch.zeros(len(lines), max(map(len, lines)), dtype=torch.long)
        for index, line in enumerate(lines):
            ids[index, : len(line)] = torch.tensor(line)
        ends = torch.tensor([len(line) - 1 for line in lines])
        return self.model(ids).logits[torch.arange(len(lines)), ends].argmax(-1).tolist()


def install(monkeypatch) -> type[LLM]:
    """Make `import vllm` find this, as version 0.33.0."""
    from fingpt.eval import engine

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(engine, "_vllm", lambda: "0.33.0")
    monkeypatch.setattr(LLM, "asked", [])
    monkeypatch.setattr(LLM, "fault", None)
    return LLM
