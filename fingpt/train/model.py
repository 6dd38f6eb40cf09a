"""The model that is trained: frozen base weights with a fresh LoRA adapter on them.

PEFT keeps adapter weights in fp32 also on a bf16 base (its default); with autocast they are the master copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fingpt import hardware
from fingpt.config import LoraConfig, ResolvedPrecision
from fingpt.errors import DataError
from fingpt.models import ModelSpec
from fingpt.reading import Loading
from fingpt.train.read_ahead import ReadAhead
from fingpt.weights.adapter import peft_arguments


def load_base(
    folder: Path,
    precision: ResolvedPrecision,
    attention: str = "sdpa",
    ahead: ReadAhead | None = None,
) -> Any:
    """The frozen base model from a local folder of safetensors; `attention` is a name that transformers knows.

    With `ahead` it is made of that one's tensors, on their device. DataError when the folder holds no causal language
    model that transformers can read.
    """
    from transformers import AutoModelForCausalLM

    with Loading(f"The base in {folder.name}", "bring the base weights again"):
        if ahead is not None:
            return _assembled(folder, hardware.dtype(precision), attention, ahead)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=hardware.dtype(precision),
            attn_implementation=attention,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    return model


def _assembled(folder: Path, dtype: torch.dtype, attention: str, ahead: ReadAhead) -> Any:
    """A Llama of tensors that are read already: no memory is taken but theirs, and nothing is initialised.

    ValueError naming the first weight that there is no tensor for.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
        )
    tensors = {name: tensor.to(dtype) for name, tensor in ahead.tensors().items()}
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    missing = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if missing:
        raise ValueError(f"no weights for {missing[0]}")
    # Its frequencies are in no file. They are computed on the CPU, as transformers does it.
    rotary = type(model.model.rotary_emb)(config=model.config)
    model.model.rotary_emb = rotary.to(ahead.device)
    return model.eval()


def attach_adapter(base: Any, lora: LoraConfig, spec: ModelSpec) -> Any:
    """Put a fresh adapter on `base`; its A matrices come from torch's seeded random state, its B matrices are 0."""
    import peft

    config = peft.LoraConfig(**peft_arguments(lora))
    try:
        model = peft.get_peft_model(base, config)
    except ValueError as error:
        raise DataError(f"No adapter fits on {spec.base}: {str(error).splitlines()[0]}") from None
    # PEFT has put in the folder of this machine that the base was loaded from.
    model.peft_config["default"].base_model_name_or_path = spec.base
    model.peft_config["default"].revision = spec.revision
    return model


def keep_half_precision(model: Any) -> None:
    """Leave the inputs of adapters in the base's precision, where PEFT makes fp32 copies of them.

    Under autocast the products round them back: without dropout no bit changes, and the copies only cost time.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [each for each in model.modules() if isinstance(each, BaseTunerLayer)]
    for layer in layers:
        layer.cast_input_dtype_enabled = False


def checkpoint_activations(model: Any) -> None:
    """Compute activations again in the backward pass: less memory, about 1.4 times the work of a LoRA step."""
    base = model.get_base_model()
    # The method was renamed in transformers 5.2x; the old name warns there and is the only one before.
    enable = getattr(base, "activation_checkpointing_enable", None)
    enable = enable or base.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def trainable_parameters(model: Any) -> int:
    """Number of parameters that the optimizer may change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
