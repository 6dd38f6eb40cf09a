"""A run answers a request: its base and adapter, loaded as eval loads them, forecast every question of one close.

Whatever is in the store already is not computed again, and each record is stored as soon as its batch is done, so an
interrupted command goes on where it was. Nothing here fetches data: a request holds all that may be known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fingpt import hardware, log
from fingpt.config import Environment
from fingpt.errors import DataError, SetupError
from fingpt.eval.arms import label_tree
from fingpt.eval.forecast import SECTIONS
from fingpt.eval.generate import Answer, Decoding, generate_batch
from fingpt.eval.inputs import Inputs, fetch_adapter, read_inputs
from fingpt.eval.labels import label_logp
from fingpt.eval.model import active, load, translate_out_of_memory
from fingpt.eval.prompts import Prompt, batches
from fingpt.eval.robust import robust
from fingpt.forecast.evidence import Evidence, gather
from fingpt.forecast.ready import require_ready
from fingpt.forecast.record import (
    ForecastRecord,
    ForecastRequest,
    Parsed,
    Question,
    find_records,
    keep_record,
)
from fingpt.metrics import log_probabilities
from fingpt.prompts.chat import load_tokenizer, render_prompt, stop_ids
from fingpt.prompts.examples import LABELS, Example
from fingpt.runs.attempt import Attempt
from fingpt.runs.run import Run, Stage, code_digest
from fingpt.runs.stage import Context
from fingpt.storage import ObjectStore
from fingpt.weights.contents import open_base

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Asked:
    """A question as the run's model sees it; `dropped_news` counts the oldest items, which had no room."""

    question: Question
    prompt: Prompt
    dropped_news: int


def answer(
    store: ObjectStore, run: Run, request: ForecastRequest, environment: Environment
) -> list[ForecastRecord]:
    """The records of `run` for every question, in the request's order; only those that lack are computed.

    MissingInputError when the run has no finished eval, DataError when its adapter or base is not the one that was
    evaluated, SetupError when the close lies ahead of this machine's clock.
    """
    found = dict(find_records(store, run.id, request))
    left = [one for one in request.questions if one.symbol not in found]
    if left:
        if datetime.now(UTC) < request.as_of:
            raise SetupError(
                f"The close {request.as_of:%Y-%m-%d %H:%M} UTC is in the future of this machine's clock; set the clock."
            )
        with tempfile.TemporaryDirectory(prefix="fingpt-") as scratch:
            forecaster = Forecaster(store, run, environment, Path(scratch))
            found |= forecaster.forecast(request, left)
    else:
        log.event("already forecast, nothing computed", run=run.id, close=str(request.as_of.date()))
    return [found[one.symbol] for one in request.questions]


class Forecaster:
    """A run's loaded model, and what its scores say of it."""

    def __init__(
        self, store: ObjectStore, run: Run, environment: Environment, scratch: Path
    ) -> None:
        evaluation = require_ready(store, run)
        # Nothing is claimed: a record is create-only, and of two processes the first one's stands.
        attempt = Attempt(store, run.id, Stage.EVAL, 1)
        ctx = Context(store, run, Stage.EVAL, environment, scratch, attempt)
        self.store, self.run, self.inputs = store, run, read_inputs(ctx)
        _require_same(self.inputs, evaluation.adapter_sha256, evaluation.base_sha256)
        self.evidence: Evidence = gather(store, run, evaluation)
        folder = open_base(store, self.inputs.spec, environment.cache)
        self.tokenizer = load_tokenizer(folder)
        self.tree = label_tree(self.inputs.spec, self.tokenizer)
        precision = hardware.resolve_precision(run.config.eval.precision, "eval.precision")
        self.model = load(
            folder,
            fetch_adapter(ctx, self.inputs),
            hardware.device(),
            hardware.dtype(precision),
            run.config.train.lora,
        )
        self.decoding = Decoding(
            stop_ids=stop_ids(self.inputs.spec, self.tokenizer),
            max_new_tokens=run.config.eval.max_new_tokens,
        )
        self.code_version = code_digest(_ROOT)

    def forecast(
        self, request: ForecastRequest, questions: Sequence[Question]
    ) -> dict[str, ForecastRecord]:
        """A stored record for each of `questions`, by symbol."""
        size = self.run.config.eval.batch_size
        asked = {one.prompt.example.id: one for one in map(self._ask(request), questions)}
        prompts = [one.prompt for one in asked.values()]
        found = {}
        with (
            active(self.model, "tuned") as model,
            translate_out_of_memory(size),
            log.progress("forecasts", len(prompts)) as meter,
        ):
            for batch in batches(prompts, size, lambda prompt: len(prompt.prompt_ids)):
                logp = {one.example: one.logp for one in label_logp(model, batch, self.tree, size)}
                answers, _ = generate_batch(model, self.tokenizer, batch, self.decoding)
                for said in answers:
                    one = asked[said.example]
                    record = self._record(request, one, said, logp[said.example])
                    found[one.question.symbol] = keep_record(self.store, record)
                meter.advance(len(batch))
        return found

    def _ask(self, request: ForecastRequest) -> Callable[[Question], Asked]:
        config = self.run.config
        # The answer's room is that of generation, but never more than half of all.
        room = config.train.max_tokens - min(
            config.eval.max_new_tokens, config.train.max_tokens // 2
        )
        period = f"{request.as_of.date()} to {request.horizon_end.date()}"

        def ask(question: Question) -> Asked:
            example = Example(
                *(self.evidence.system, question.text),
                answer="",
                symbol=question.symbol,
                period=period,
                label="",
                prompt="",
                raw_answer="",
            )
            ids, dropped = render_prompt(self.inputs.spec, self.tokenizer, example, room)
            return Asked(question, Prompt(example, ids, ()), dropped)

        return ask

    def _record(
        self, request: ForecastRequest, asked: Asked, said: Answer, logp: Sequence[float]
    ) -> ForecastRecord:
        question, temperature = asked.question, self.evidence.temperature
        plain = _probabilities(logp)
        fitted = None if temperature is None else _probabilities(logp, temperature)
        now = datetime.now(UTC)
        return ForecastRecord(
            symbol=question.symbol,
            as_of=request.as_of,
            horizon_end=request.horizon_end,
            due=request.due,
            created_at=now,
            late=now >= request.due,
            run=self.run.id,
            model=self.run.config.model,
            adapter_sha256=self.inputs.adapter_sha256,
            base_sha256=self.inputs.base.sha256,
            prompt_sha256=question.prompt_sha256,
            facts_sha256=question.facts_sha256,
            facts=question.facts,
            sources=question.sources,
            available_at_max=question.available_at_max,
            degraded=question.degraded,
            dropped_news=asked.dropped_news,
            warnings=self.evidence.shape.differences(question.text),
            answer=said.prediction,
            truncated=said.truncated,
            parsed=parsed(said.prediction),
            probabilities=plain,
            probabilities_calibrated=fitted,
            temperature=temperature,
            verdict=self.evidence.verdict,
            calibration=self.evidence.calibration(chance_of_a_rise(fitted or plain)),
            code_version=self.code_version,
        )


def parsed(text: str) -> Parsed:
    """What the parser `robust` reads in an answer, as a record keeps it."""
    found = robust(text)
    if not found.ok:
        return Parsed(flags=found.flags, reason=found.reason)
    return Parsed(
        direction=found.direction,
        margin=found.margin,
        bin=found.bin,
        sections={name: found.section(name) for name in SECTIONS},
        flags=found.flags,
    )


def chance_of_a_rise(probabilities: Sequence[float]) -> float:
    """The sum over the labels `up by …`."""
    pairs = zip(LABELS, probabilities, strict=True)
    return sum(chance for label, chance in pairs if label.startswith("up"))


def _probabilities(logp: Sequence[float], temperature: float = 1.0) -> tuple[float, ...]:
    return tuple(np.exp(log_probabilities(np.array(logp), temperature)).tolist())


def _require_same(inputs: Inputs, adapter: str, base: str) -> None:
    for what, here, evaluated in (
        ("adapter", inputs.adapter_sha256, adapter),
        ("base", inputs.base.sha256, base),
    ):
        if here != evaluated:
            raise DataError(
                f"The {what} ({here[:12]}) is not the one that was evaluated ({evaluated[:12]}): it was changed in "
                "between, so nothing is known of its forecasts; run eval again."
            )
