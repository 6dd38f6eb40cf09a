"""What is used of vLLM, over a model of transformers: for tests of what is asked of it where vLLM is not installed."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


@dataclass
class SamplingParams:
    max_tokens: int
    temperature: float
    ignore_eos: bool
    detokenize: bool
    stop_token_ids: list[int] = field(default_factory=list)
    logprobs: int | None = None
    logprob_token_ids: list[int] | None = None


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    """Greedy, one prompt after another; `asked` is what every instance was loaded and called with."""

    asked: list[Any] = []  # noqa: RUF012
    fault: Exception | None = None

    def __init__(self, **arguments: Any) -> None:
        LLM.asked.append(arguments)
        if LLM.fault:
            raise LLM.fault
        self.longest = arguments["max_model_len"]
        model: Any = AutoModelForCausalLM.from_pretrained(arguments["model"], dtype=torch.float32)
        self.base, self.model = model, model

    @torch.inference_mode()
    def generate(self, prompts, params, *, use_tqdm, lora_request):
        LLM.asked.append(len(prompts))
        if lora_request and self.model is self.base:
            self.model = PeftModel.from_pretrained(self.base, lora_request.lora_path)
        found = []
        for start in range(0, len(prompts), 64):
            few = list(zip(prompts[start : start + 64], params[start : start + 64], strict=True))
            lines = [list(prompt["prompt_token_ids"]) for prompt, _ in few]
            for line, (_, plan) in zip(lines, few, strict=True):
                assert plan.temperature == 0
                assert plan.ignore_eos
                assert len(line) + plan.max_tokens <= self.longest
            found += self._continue(lines, [plan for _, plan in few], bool(lora_request))
        return [SimpleNamespace(outputs=[output]) for output in found]

    def _continue(self, lines, plans, tuned):
        """The lines of one batch, token by token; one that has ended is carried along and cut afterwards."""
        begun, logprobs = [len(line) for line in lines], [None] * len(lines)
        for _ in range(max(plan.max_tokens for plan in plans)):
            logp = torch.log_softmax(self._logits(lines, tuned), -1)
            for index, (line, plan) in enumerate(zip(lines, plans, strict=True)):
                token = int(logp[index].argmax())
                if plan.logprob_token_ids:
                    assert plan.logprobs == len(plan.logprob_token_ids)
                    wanted = {token, *plan.logprob_token_ids}
                    logprobs[index] = [
                        {one: SimpleNamespace(logprob=float(logp[index, one])) for one in wanted}
                    ]
                line.append(token)
        found = []
        for line, start, plan, logprob in zip(lines, begun, plans, logprobs, strict=True):
            said = line[start : start + plan.max_tokens]
            end = next((n + 1 for n, one in enumerate(said) if one in plan.stop_token_ids), None)
            found.append(SimpleNamespace(token_ids=said[:end], logprobs=logprob))
        return found

    def _logits(self, lines, tuned):
        """Of the last token of each line; what is padded behind it no causal model sees."""
        ids = torch.zeros(len(lines), max(map(len, lines)), dtype=torch.long)
        for index, line in enumerate(lines):
            ids[index, : len(line)] = torch.tensor(line)
        off = self.model.disable_adapter() if not tuned and self.model is not self.base else None
        with off or nullcontext():
            logits = self.model(ids).logits
        return logits[torch.arange(len(lines)), torch.tensor([len(line) - 1 for line in lines])]


def install(monkeypatch) -> type[LLM]:
    """Make `import vllm` find this, as version 0.33.0."""
    from fingpt.eval import engine

    module, lora, request = (ModuleType(name) for name in ("vllm", "lora", "request"))
    module.LLM, module.SamplingParams, request.LoRARequest = LLM, SamplingParams, LoRARequest
    module.lora, lora.request = lora, request
    for name, one in {"vllm": module, "vllm.lora": lora, "vllm.lora.request": request}.items():
        monkeypatch.setitem(sys.modules, name, one)
    monkeypatch.setattr(engine, "_vllm", lambda: "0.33.0")
    monkeypatch.setattr(LLM, "asked", [])
    monkeypatch.setattr(LLM, "fault", None)
    return LLM
