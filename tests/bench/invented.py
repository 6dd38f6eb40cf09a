"""A bucket of invented runs: the records that stages leave, as far as lists and status read them, without any model."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fingpt.config import RunConfig
from fingpt.record import canonical_json
from fingpt.runs.manifest import DatasetManifest, PrepManifest, TrainManifest, encode
from fingpt.runs.run import (
    Run,
    Stage,
    attempt_key,
    claim_key,
    complete_key,
    dataset_manifest_key,
    frozen_key,
    heartbeat_key,
    run_key,
    stage_prefix,
    trial_key,
)
from fingpt.storage import ObjectStore
from fingpt.sweeps.definition import Settings, parse_definition
from fingpt.sweeps.plan import plan
from fingpt.sweeps.records import Ask, SweepManifest, Tell, ask_key, sweep_key, tell_key
from fingpt.sweeps.sweep import Sweep, trial_run

MODELS = ("tiny-llama31", "tiny-deepseek-r1")
DATASET = "0123456789ab"
BEATS = 8
CHECKPOINTS = 2
START = datetime(2030, 1, 1, tzinfo=UTC)


def run_of(number: int) -> Run:
    """Run `number`: two models in turn, each with a rate of its own."""
    settings = {
        "model": MODELS[number % len(MODELS)],
        "seed": 42,
        "prep": {"source": "raw/0123456789abcdef"},
        "train": {"lr": 1e-4 * (1 + number / 1e6), "epochs": 1.0},
    }
    return Run.of(RunConfig.model_validate(settings), {str(stage): "local:0123" for stage in Stage})


def shared() -> Iterator[tuple[str, bytes]]:
    """What all runs rest on: the record of a data set."""
    manifest = DatasetManifest(
        id=DATASET,
        source="raw/0123456789abcdef",
        split_rule="published",
        counts={"train": 24, "test": 20, "validation": 8},
        weeks={},
        files=(),
    )
    yield dataset_manifest_key(DATASET), encode(manifest)


def objects(number: int) -> Iterator[tuple[str, bytes]]:
    """Keys and bytes of run `number`: of ten, seven have trained, two failed for good, one has only begun."""
    run = run_of(number)
    at = START + timedelta(seconds=number)
    yield run_key(run.id), run.encode()
    yield frozen_key(run.id, at), canonical_json({"run": run.id})
    yield from _attempt(run, Stage.PREP, at, 1, 0, "")
    yield complete_key(run.id, Stage.PREP), encode(_prep(run, at))
    kind = number % 10
    if kind < 7:
        yield from _attempt(run, Stage.TRAIN, at, BEATS, 0, "")
        yield from _checkpoints(run)
        yield complete_key(run.id, Stage.TRAIN), encode(_train(run, at))
    elif kind < 9:
        yield from _attempt(run, Stage.TRAIN, at, 2, 70, "The loss is not finite at step 3.")
    else:
        yield claim_key(run.id, Stage.TRAIN, 1), canonical_json({"started_at": _stamp(at)})


def lay_down(root: Path, runs: int) -> None:
    """The bucket as a folder, written without the store's syncs: what is measured is reading."""
    for key, data in shared():
        write(root / key, data)
    for number in range(runs):
        for key, data in objects(number):
            write(root / key, data)


def put_all(store: ObjectStore, runs: int, threads: int = 16) -> None:
    """The same through the store's own writes."""
    for key, data in shared():
        store.create(key, data)

    def one(number: int) -> None:
        for key, data in objects(number):
            store.create(key, data)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(runs)))


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _attempt(
    run: Run, stage: Stage, at: datetime, beats: int, code: int, message: str
) -> Iterator[tuple[str, bytes]]:
    yield claim_key(run.id, stage, 1), canonical_json({"started_at": _stamp(at)})
    for beat in range(1, beats + 1):
        yield heartbeat_key(run.id, stage, 1, beat), canonical_json({"at": _stamp(at)})
    ending = {"attempt": 1, "code": code, "message": message, "ended_at": _stamp(at)}
    yield attempt_key(run.id, stage, 1), canonical_json(ending)


def _checkpoints(run: Run) -> Iterator[tuple[str, bytes]]:
    prefix = stage_prefix(run.id, Stage.TRAIN)
    for step in range(1, CHECKPOINTS + 1):
        for name in ("adapter_model.safetensors", "metrics.jsonl", "state.json"):
            yield f"{prefix}/ckpt/{step:06d}-0a1b2c3d/{name}", b"{}"
        yield f"{prefix}/commits/{step:06d}.json", b"{}"
    for name in ("adapter/adapter_config.json", "adapter/adapter_model.safetensors"):
        yield f"{prefix}/{name}", b"{}"


def _identity(run: Run, stage: Stage, at: datetime) -> dict[str, object]:
    return {
        "run": run.id,
        "stage": str(stage),
        "config_sha256": run.config.sha256,
        "image": "local:0123",
        "inputs": {},
        "finished_at": _stamp(at),
    }


def _prep(run: Run, at: datetime) -> PrepManifest:
    return PrepManifest.model_validate(
        {**_identity(run, Stage.PREP, at), "dataset": DATASET, "dataset_sha256": "0" * 64}
    )


def _train(run: Run, at: datetime) -> TrainManifest:
    fields = {
        "base": "invented@0",
        "base_sha256": "b",
        "tokenizer_sha256": "t",
        "template_sha256": "c",
        "dataset": DATASET,
        "steps": 12,
        "rows": 24,
        "tokens": 100,
        "answer_tokens": 50,
        "trainable_parameters": 10,
        "train_loss": 1.25,
        "eval_loss": 1.5,
        "eval_split": "validation",
        "dropped_news": 0,
        "padding_share": 0.0,
        "peak_memory_bytes": 1,
        "resumed": 0,
        "exactness": "bitwise",
        "files": (),
    }
    return TrainManifest.model_validate({**_identity(run, Stage.TRAIN, at), **fields})


def end_of(sweep: Sweep) -> SweepManifest:
    """COMPLETE.json of a sweep that ended with two trials of each model, the second the better one."""
    tells = tuple(Tell(number=n, state="complete", value=2.0 - n, seconds=60) for n in range(2))
    return SweepManifest(
        sweep=sweep.id,
        sweep_sha256=sweep.sha256,
        tells=dict.fromkeys(sweep.bases, tells),
        choices={},
        finals={},
        inputs={},
        finished_at="",
    )


def lay_down_search(root: Path, trials: int, parallel: int) -> Sweep:
    """A random search of the first model as it is once all its trials have trained and none was told of.

    Of ten thousand runs two have the same id in one sweep of a hundred; this seed is of none of these.
    """
    model = MODELS[0]
    definition = {
        "method": "random",
        "trials": trials,
        "parallel": parallel,
        "seed": 43,
        "space": {"train.lr": {"low": 1e-4, "high": 1e-3}},
    }
    images = {stage: f"registry.example/{stage}@sha256:{0:064d}" for stage in map(str, Stage)}
    sweep = Sweep.of(
        "invented", parse_definition(definition, "invented"), {model: run_of(0).config}, images
    )
    write(root / sweep_key(sweep.id), encode(sweep))
    for n, settings in enumerate(plan(sweep.definition)):
        run = trial_run(sweep, model, settings)
        ask = Ask(number=n, settings=settings, run_id=run.id, run_sha256=run.sha256)
        write(root / ask_key(sweep.id, model, n), encode(ask))
        write(root / run_key(run.id), run.encode())
        write(root / complete_key(run.id, Stage.TRAIN), encode(_train(run, START)))
    return sweep


def put_sweep(
    store: ObjectStore,
    sweep: str,
    *,
    trials: int | None,
    asked: int,
    told: int,
    first: int = 0,
    space: dict[str, object] | None = None,
    method: str = "",
    pruning: dict[str, object] | None = None,
) -> None:
    """The records of a sweep of both models: `asked` asks each, of which `told` were told; runs from number `first`."""
    for key, data in sweep_objects(sweep, trials, asked, told, first, space, method, pruning):
        store.create(key, data)


def sweep_objects(
    sweep: str,
    trials: int | None,
    asked: int,
    told: int,
    first: int = 0,
    space: dict[str, object] | None = None,
    method: str = "",
    pruning: dict[str, object] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Keys and bytes of `put_sweep`: of ten trials seven are complete, two failed and one was pruned."""
    definition = {
        "method": method or ("grid" if trials is None else "random"),
        "trials": trials,
        "parallel": 2,
        "space": space or {"train.lr": {"low": 1e-4, "high": 1e-3, "points": 9}},
        **({"pruning": pruning} if pruning else {}),
    }
    bases = {run.config.model: run.config for run in map(run_of, range(len(MODELS)))}
    name = sweep.rpartition("-")[0]
    frozen = Sweep.of(name, parse_definition(definition, sweep), bases, run_of(0).images)
    yield sweep_key(sweep), encode(frozen.model_copy(update={"id": sweep}))
    for place, model in enumerate(MODELS):
        for n in range(asked):
            run = run_of(first + 2 * n + place)
            settings: Settings = {"train.lr": run.config.train.lr}
            ask = Ask(number=n, settings=settings, run_id=run.id, run_sha256=run.sha256)
            yield ask_key(sweep, model, n), encode(ask)
            note = {"sweep": sweep, "model": model, "number": n}
            yield trial_key(run.id), canonical_json(note)
        for n in range(told):
            state = "complete" if n % 10 < 7 else "failed" if n % 10 < 9 else "pruned"
            tell = {
                "number": n,
                "state": state,
                "value": 1.5 - n / 1e5 if state == "complete" else None,
                "reason": "The loss is not finite at step 3." if state == "failed" else "",
                "seconds": 60.0,
                "gpu_seconds": 60.0,
            }
            yield tell_key(sweep, model, n), encode(Tell.model_validate(tell))
