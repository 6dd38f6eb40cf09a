"""The engine for GPUs: vLLM inside this process, with the adapter as a LoRA request on the one loaded base.

Versions 0.20 to 0.33 are spoken to alike. No prefix is cached and this process alone schedules requests, so a chunk's
answers do not depend on what was asked before it; on a GPU, vLLM's kernels for adapters add in no fixed order, so near
ties may.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from transformers import PreTrainedTokenizerFast

from fingpt.config import LoraConfig, ResolvedPrecision
from fingpt.errors import ConfigError, DivergedError, SetupError
from fingpt.eval.generate import Answer, Decoding, answers_of
from fingpt.eval.model import Variant, adapter_config
from fingpt.eval.prompts import Prompt

ANSWER_ROWS = 320
"""Rows of a stored chunk of answers, all in flight at once: seconds of an 8B model, which an interruption costs."""

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM has kernels for; an adapter takes the next larger one."""

_BATCH_TOKENS = 16384
_MEMORY_SHARE = 0.92
_INSTEAD = "or set eval.engine=transformers"


@dataclass(frozen=True)
class VllmSettings:
    """What the engine is started with: `longest` tokens of prompt and answer together, the adapter's settings `lora`.

    `base`, `adapter`: their folders. `cache`: a folder for compiled code, which later starts take from there.
    """

    base: Path
    adapter: Path
    lora: LoraConfig
    precision: ResolvedPrecision
    longest: int
    cache: Path


class VllmEngine:
    """vLLM for one run; it is loaded when it is first asked, and `start_seconds` says how long that took."""

    def __init__(
        self, started: VllmSettings, tokenizer: PreTrainedTokenizerFast, decoding: Decoding
    ) -> None:
        self.started, self.tokenizer, self.decoding = started, tokenizer, decoding
        self.start_seconds = 0.0
        _check(started)

    def settings(self) -> dict[str, str | int | float | bool]:
        """What its results depend on."""
        return {
            "engine": "vllm",
            "attention": "vllm",
            "adapter": "LoRA request",
            "batch_tokens": _BATCH_TOKENS,
        }

    def answers(self, variant: Variant, prompts: Sequence[Prompt]) -> tuple[list[Answer], float]:
        """An answer to each prompt, and the seconds that they took."""
        llm = self._llm
        plan = importlib.import_module("vllm").SamplingParams(
            temperature=0.0,
            max_tokens=self.decoding.max_new_tokens,
            stop_token_ids=list(self.decoding.stop_ids),
            ignore_eos=True,
            detokenize=False,
        )
        with _in_one_sentence(self.started):
            start = time.perf_counter()
            outputs = llm.generate(
                [{"prompt_token_ids": list(prompt.prompt_ids)} for prompt in prompts],
                [plan] * len(prompts),
                use_tqdm=False,
                lora_request=self._request(variant),
            )
            seconds = time.perf_counter() - start
        lines = [list(output.outputs[0].token_ids) for output in outputs]
        return answers_of(self.tokenizer, prompts, lines, self.decoding), seconds

    def _request(self, variant: Variant) -> Any:
        if variant == "base":
            return None
        lora = importlib.import_module("vllm.lora.request")
        return lora.LoRARequest("tuned", 1, str(self.started.adapter))

    @cached_property
    def _llm(self) -> Any:
        """The loaded engine."""
        start = time.perf_counter()
        _tell_libraries(self.started.cache)
        with _in_one_sentence(self.started):
            llm = importlib.import_module("vllm").LLM(**_arguments(self.started))
        self.start_seconds = time.perf_counter() - start
        return llm


def compiled_cache(cache: Path, scratch: Path) -> Path:
    """A folder for compiled code: in `cache`, where later pods find it, or in `scratch` where that is closed."""
    folder = cache / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return scratch / "compiled"
    return folder if os.access(folder, os.W_OK | os.X_OK) else scratch / "compiled"


def _arguments(started: VllmSettings) -> dict[str, Any]:
    """What vLLM is loaded with; all else keeps its default."""
    arguments: dict[str, Any] = {
        "model": str(started.base),
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "generation_config": "vllm",  # not what the model ships with
        "load_format": "safetensors",
        "dtype": {"bf16": "bfloat16", "fp32": "float32"}[started.precision],
        "seed": 0,
        "max_model_len": started.longest,
        "max_num_seqs": ANSWER_ROWS,
        "max_num_batched_tokens": max(_BATCH_TOKENS, started.longest),
        "enable_prefix_caching": False,
        "enable_lora": True,
        "max_loras": 1,
        "max_lora_rank": next(rank for rank in _RANKS if rank >= started.lora.r),
        "enforce_eager": not torch.cuda.is_available(),  # a CPU would compile for minutes
    }
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        arguments["gpu_memory_utilization"] = round(min(_MEMORY_SHARE, free / total - 0.02), 2)
    return arguments


def _check(started: VllmSettings) -> None:
    """ConfigError for what vLLM would refuse: a rank without a kernel, more tokens than the model has places for.

    DataError for an adapter whose files say something else than the run; vLLM reads them itself.
    """
    adapter_config(started.adapter, started.lora)
    if started.lora.r > _RANKS[-1]:
        raise ConfigError(
            f"vLLM takes adapters up to rank {_RANKS[-1]}, and this one has {started.lora.r}; set "
            "eval.engine=transformers."
        )
    places = json.loads((started.base / "config.json").read_bytes()).get("max_position_embeddings")
    if isinstance(places, int) and started.longest > places:
        raise ConfigError(
            f"A prompt and its answer take up to {started.longest} tokens, and the base reads {places}; lower "
            "eval.max_new_tokens or train.max_tokens."
        )


def _tell_libraries(cache: Path) -> None:
    """Settings that vLLM and its libraries take from the environment alone: no network, no home, one process."""
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # requests are scheduled in one order, whatever the clock says
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "VLLM_CONFIG_ROOT": str(cache / "vllm-config"),
        "HF_HOME": str(cache / "huggingface"),
        "XDG_CACHE_HOME": str(cache),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "FLASHINFER_WORKSPACE_BASE": str(cache),
    }
    constants.HF_HUB_OFFLINE = True  # read when it was imported


@contextmanager
def _in_one_sentence(started: VllmSettings) -> Iterator[None]:
    """Turn what vLLM says of memory or of an installation that does not work into one sentence."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise _too_small(started) from None
    except (ImportError, OSError, RuntimeError, ValueError, AssertionError) as error:
        said = str(error)
        if "memory" in said.lower():
            raise _too_small(started) from None
        first = (said.strip().splitlines() or [type(error).__name__])[0][:300]
        raise SetupError(f"vLLM does not run here ({first}); mend that, {_INSTEAD}.") from error


def _too_small(started: VllmSettings) -> DivergedError:
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "this machine"
    return DivergedError(
        f"vLLM found too little memory on {card} for prompts and answers of {started.longest} tokens; use one with "
        f"more, {_INSTEAD}."
    )
