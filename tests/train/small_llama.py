"""A small Llama whose LoRA adapter already does something, and the gradients of its parameters."""

from __future__ import annotations

from typing import Any

import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.train import attention

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def tuned_llama(
    layers: int,
    attention_name: str = attention.PLAIN,
    *,
    dtype: torch.dtype = torch.float32,
    rank: int = 4,
    dropout: float = 0.0,
    **more: Any,
):
    """In training mode, the same weights for the same arguments; `more` are settings of LlamaConfig."""
    attention.register()
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        attn_implementation=attention_name,
        **more,
    )
    base = LlamaForCausalLM(config).to(dtype)
    lora = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules=PROJECTIONS
    )
    model = peft.get_peft_model(base, lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.train()


def gradients(model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Those of `loss` by parameter; the model has none afterwards."""
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found
