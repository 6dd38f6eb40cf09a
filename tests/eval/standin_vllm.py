"""What is used of vLLM, over a model of transformers: for tests of what is asked of it where vLLM is not installed."""

from __future__ import annotations

import sys
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

    def reset_prefix_cache(self) -> bool:
        LLM.asked.append("reset")
        return True

    @torch.inference_mode()
    def generate(self, prompts, params, *, use_tqdm, lora_request):
        LLM.asked.append(len(prompts))
        if lora_request and self.model is self.base:
            self.model = PeftModel.from_pretrained(self.base, lora_request.lora_path)
        found = []
        for prompt, plan in zip(prompts, params, strict=True):
            assert plan.temperature == 0
            assert len(prompt["prompt_token_ids"]) + plan.max_tokens <= self.longest
            found.append(SimpleNamespace(outputs=[self._one(prompt, plan, lora_request)]))
        return found

    def _one(self, prompt, plan, lora_request):
        ids, line, logprobs = list(prompt["prompt_token_ids"]), [], None
        for _ in range(plan.max_tokens):
            if lora_request or self.model is self.base:
                logits = self.model(torch.tensor([ids])).logits[0, -1]
            else:
                with self.model.disable_adapter():
                    logits = self.model(torch.tensor([ids])).logits[0, -1]
            token = int(logits.argmax())
            if plan.logprob_token_ids:
                assert plan.logprobs == len(plan.logprob_token_ids)
                logp = torch.log_softmax(logits, -1)
                wanted = {token, *plan.logprob_token_ids}
                logprobs = [{one: SimpleNamespace(logprob=float(logp[one])) for one in wanted}]
            ids.append(token)
            line.append(token)
            if token in plan.stop_token_ids:
                break
        return SimpleNamespace(token_ids=line, logprobs=logprobs)


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
