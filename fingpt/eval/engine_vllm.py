"""The engine for GPUs: vLLM inside this process, started once, with the base's weights and then with the merged ones.

Versions 0.20 to 0.33 are spoken to alike. The cache of prefixes is emptied before each chunk and this process alone
schedules requests, so a chunk's answers do not depend on what was asked before it.
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

from fingpt import hardware
from fingpt.config import LoraConfig, ResolvedPrecision
from fingpt.errors import ConfigError, DivergedError, SetupError
from fingpt.eval.caches import tell_compilers
from fingpt.eval.generate import Answer, Decoding, answers_of
from fingpt.eval.merged import merged_weights
from fingpt.eval.model import Variant, adapter_config
from fingpt.eval.prompts import Prompt
from fingpt.eval.weights_ahead import weights_ahead

ANSWER_ROWS = 320
"""Rows of a stored chunk of answers, all in flight at once: seconds of an 8B model, which an interruption costs."""

_BATCH_TOKENS = 16384
_MEMORY_SHARE = 0.92
_SHARE_OF_FREE_RAM = 0.25  # on a CPU, whose memory others use too
# Answers that end make batches smaller; each size has a graph of its own, which takes a tenth of a second at the start.
_GRAPHS = [1, 2, 4, 8, *range(16, ANSWER_ROWS + 1, 16)]
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
        self._held: Variant = "base"
        _check(started)

    def settings(self) -> dict[str, str | int | float | bool]:
        """What its results depend on."""
        return {
            "engine": "vllm",
            "attention": "vllm",
            "adapter": "merged",
            "batch_tokens": _BATCH_TOKENS,
        }

    def answers(self, variant: Variant, prompts: Sequence[Prompt]) -> tuple[list[Answer], float]:
        """An answer to each prompt, and the seconds that they took."""
        llm = self._holding(variant)
        plan = importlib.import_module("vllm").SamplingParams(
            temperature=0.0,
            max_tokens=self.decoding.max_new_tokens,
            stop_token_ids=list(self.decoding.stop_ids),
            ignore_eos=True,
            detokenize=False,
        )
        with _in_one_sentence(self.started):
            start = time.perf_counter()
            llm.reset_prefix_cache()
            outputs = llm.generate(
                [{"prompt_token_ids": list(prompt.prompt_ids)} for prompt in prompts],
                [plan] * len(prompts),
                use_tqdm=False,
            )
            seconds = time.perf_counter() - start
        lines = [list(output.outputs[0].token_ids) for output in outputs]
        return answers_of(self.tokenizer, prompts, lines, self.decoding), seconds

    def _holding(self, variant: Variant) -> Any:
        """The engine with the weights of `variant`: read again into the memory that its graphs work on."""
        llm, one = self._llm, self.started
        if self._held != variant:
            start = time.perf_counter()
            place = hardware.device()
            weights = (
                weights_ahead(one.base, place)
                if variant == "base"
                else merged_weights(one.base, one.adapter, one.lora, place)
            )
            with _in_one_sentence(one):
                llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
            self._held = variant
            self.start_seconds += time.perf_counter() - start
        return llm

    @cached_property
    def _llm(self) -> Any:
        """The loaded engine."""
        start = time.perf_counter()
        _tell_libraries(self.started.cache)
        tell_compilers(self.started.cache)
        with _in_one_sentence(self.started):
            llm = importlib.import_module("vllm").LLM(**_arguments(self.started))
        self.start_seconds = time.perf_counter() - start
        return llm


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
        "enable_prefix_caching": True,  # of what the rows of a chunk share
    }
    if not torch.cuda.is_available():
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        cache = int(_SHARE_OF_FREE_RAM * free)
        return arguments | {"enforce_eager": True, "kv_cache_memory_bytes": cache}
    free, total = torch.cuda.mem_get_info()
    # vLLM's own kernels and graphs of decoding steps, without torch.compile: it takes a minute when its cache is empty,
    # and makes nothing faster here.
    return arguments | {
        "gpu_memory_utilization": round(min(_MEMORY_SHARE, free / total - 0.02), 2),
        "compilation_config": {
            "mode": 0,
            "cudagraph_mode": "FULL_DECODE_ONLY",
            "cudagraph_capture_sizes": _GRAPHS,
        },
    }


def _check(started: VllmSettings) -> None:
    """ConfigError for more tokens than the model has places for, which vLLM would refuse.

    DataError for an adapter whose files say something else than the run.
    """
    adapter_config(started.adapter, started.lora)
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
        "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "0",  # seconds, for graphs that the free 8 % hold
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "VLLM_CONFIG_ROOT": str(cache / "vllm-config"),
        "HF_HOME": str(cache / "huggingface"),
        "XDG_CACHE_HOME": str(cache),
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
