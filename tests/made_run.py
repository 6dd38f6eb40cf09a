"""A run of made-up bytes, as far as a test wants it: every record the stages would leave, without any model."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from fingpt.config import RunConfig
from fingpt.models import spec
from fingpt.prompts.families import template_sha256
from fingpt.record import FileRef, canonical_json, sha256_bytes
from fingpt.runs.freeze import create_run, freeze_source
from fingpt.runs.manifest import (
    BaseManifest,
    DatasetManifest,
    EvalManifest,
    ParserScores,
    PrepManifest,
    ReportManifest,
    TrainManifest,
    VariantScores,
    encode,
)
from fingpt.runs.run import (
    Run,
    Stage,
    attempt_key,
    base_manifest_key,
    claim_key,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    heartbeat_key,
    predictions_key,
    report_prefix,
    stage_prefix,
)
from fingpt.storage import ObjectStore, put
from fingpt.train.checkpoint import CheckpointLog

MODEL = "tiny-llama31"
TRAIN_ROWS, TEST_ROWS = 24, 20


def stamp(when: datetime | None = None) -> str:
    return (when or datetime.now(UTC)).isoformat(timespec="seconds")


class MadeRun:
    """A frozen run in `store`, to which stages are added; `folder` is scratch."""

    def __init__(
        self, store: ObjectStore, folder: Path, seed: int = 42, rows: str = "rows"
    ) -> None:
        self.store, self.folder = store, folder
        source = folder / f"source-{rows}"
        source.mkdir(parents=True, exist_ok=True)
        for split in ("train", "test"):
            (source / f"{split}.jsonl").write_text(f'{{"{rows}": "{split}"}}\n', "utf-8")
        settings = {
            "model": MODEL,
            "seed": seed,
            "prep": {"source": str(source)},
            "train": {"accumulation": 2, "epochs": 1.0},
            "eval": {"batch_size": 8},
        }
        config = freeze_source(store, RunConfig.model_validate(settings))
        self.run = Run.of(config, {str(stage): "local:0123" for stage in Stage})
        self.dataset = f"{sha256_bytes(rows.encode())[:12]}"
        create_run(store, self.run)

    @property
    def id(self) -> str:
        return self.run.id

    def attempt(
        self,
        stage: Stage,
        number: int = 1,
        *,
        code: int | None = 0,
        message: str = "",
        beats: int = 1,
        at: datetime | None = None,
        **claim: object,
    ) -> None:
        """A claim, heartbeats at `at`, and an ending unless `code` is None."""
        self._json(claim_key(self.id, stage, number), {"started_at": stamp(at), **claim})
        for beat in range(1, beats + 1):
            self._json(heartbeat_key(self.id, stage, number, beat), {"at": stamp(at)})
        if code is not None:
            ending = {"attempt": number, "code": code, "message": message, "ended_at": stamp(at)}
            self._json(attempt_key(self.id, stage, number), ending)

    def prep(self) -> None:
        prefix = dataset_prefix(self.dataset)
        files = tuple(
            put(self.store, f"{prefix}/{name}.jsonl", name.encode()) for name in ("train", "test")
        )
        manifest = DatasetManifest(
            id=self.dataset,
            source=self.run.config.prep.source,
            split_rule="published",
            counts={"train": TRAIN_ROWS, "test": TEST_ROWS, "validation": 0},
            weeks={},
            files=files,
        )
        put(self.store, dataset_manifest_key(self.dataset), encode(manifest))
        self.attempt(Stage.PREP)
        sha256 = sha256_bytes(encode(manifest))
        self._complete(Stage.PREP, PrepManifest, dataset=self.dataset, dataset_sha256=sha256)

    def base(self) -> BaseManifest:
        model = spec(MODEL)
        names = ("config.json", "tokenizer.json", "model.safetensors")
        files = tuple(put(self.store, f"{model.base_prefix}/{n}", n.encode()) for n in names)
        manifest = BaseManifest(base=model.base, revision=model.revision, files=files)
        put(self.store, base_manifest_key(model.base_prefix), encode(manifest))
        return manifest

    def commit(self, step: int) -> None:
        """A checkpoint after `step` steps, with the metrics up to it."""
        folder = self.folder / f"{self.id}-checkpoint-{step}"
        folder.mkdir(exist_ok=True)
        (folder / "adapter_model.safetensors").write_bytes(b"weights %d" % step)
        lines = [{"step": n, "loss": 2.0 - n / 100, "seconds": 0.5} for n in range(1, step + 1)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines), "utf-8")
        CheckpointLog(self.store, self.id, {"config": "c"}, "here").commit(step, folder)

    def orphan(self, step: int = 99) -> str:
        """A checkpoint that nobody committed; gives its prefix."""
        prefix = f"{stage_prefix(self.id, Stage.TRAIN)}/ckpt/{step:06d}-0f0f0f00"
        self.store.create(f"{prefix}/adapter_model.safetensors", b"half")
        return prefix

    def train(self, template_sha256: str = template_sha256(spec(MODEL))) -> None:
        base = self.base()
        prefix = stage_prefix(self.id, Stage.TRAIN)
        names = (
            "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors",
            "metrics.jsonl",
        )
        files = tuple(self._file(f"{prefix}/{name}", name) for name in names)
        self.attempt(Stage.TRAIN, self._next(Stage.TRAIN))
        self._complete(
            Stage.TRAIN,
            TrainManifest,
            inputs=self._inputs(Stage.PREP),
            base=f"{base.base}@{base.revision}",
            base_sha256=base.sha256,
            tokenizer_sha256="t",
            template_sha256=template_sha256,
            dataset=self.dataset,
            steps=self.run.config.train.steps(TRAIN_ROWS)[1],
            rows=TRAIN_ROWS,
            tokens=100,
            answer_tokens=50,
            trainable_parameters=10,
            train_loss=1.25,
            eval_loss=1.5,
            eval_split="test",
            dropped_news=0,
            padding_share=0.0,
            peak_memory_bytes=1,
            resumed=0,
            exactness="bitwise",
            files=files,
        )

    def chunks(self, variant: str, count: int) -> tuple[FileRef, ...]:
        """Stored answers of `count` chunks."""
        prefix = stage_prefix(self.id, Stage.EVAL)
        keys = [predictions_key(self.id, variant, number) for number in range(count)]
        return tuple(self._file(key, key.removeprefix(f"{prefix}/")) for key in keys)

    def eval(self) -> None:
        prefix = stage_prefix(self.id, Stage.EVAL)
        answers = self.chunks("base", 3) + self.chunks("tuned", 3)
        adapter = [
            ["adapter/adapter_config.json", sha256_bytes(b"adapter/adapter_config.json")],
            [
                "adapter/adapter_model.safetensors",
                sha256_bytes(b"adapter/adapter_model.safetensors"),
            ],
        ]
        self.attempt(Stage.EVAL)
        self._complete(
            Stage.EVAL,
            EvalManifest,
            inputs=self._inputs(Stage.PREP, Stage.TRAIN),
            dataset=self.dataset,
            adapter_sha256=sha256_bytes(canonical_json(adapter)),
            base_sha256=self.base().sha256,
            decoding={"method": "greedy"},
            scores={"tuned": _scores()},
            files=(self._file(f"{prefix}/scores.parquet", "scores.parquet"), *answers),
        )

    def report(self, *others: MadeRun) -> str:
        """A report on this run (and others); gives its id."""
        runs = (self, *others)
        inputs: dict[str, str] = {}
        for one in runs:
            inputs |= one._inputs(Stage.TRAIN, Stage.EVAL)
        name = sha256_bytes(canonical_json(inputs))[:12]
        prefix = report_prefix(name)
        files = (self._file(f"{prefix}/report.html", "report.html"),)
        manifest = ReportManifest(
            id=name, runs=tuple(one.id for one in runs), inputs=inputs, files=files
        )
        put(self.store, f"{prefix}/manifest.json", encode(manifest))
        return name

    def whole(self) -> MadeRun:
        """Everything up to a report."""
        self.prep()
        for step in (4, 8, 12):
            self.commit(step)
        self.train()
        self.eval()
        self.report()
        return self

    def _next(self, stage: Stage) -> int:
        number = 1
        while self.store.exists(claim_key(self.id, stage, number)):
            number += 1
        return number

    def _file(self, key: str, name: str) -> FileRef:
        return put(self.store, key, name.encode()).model_copy(update={"name": name})

    def _json(self, key: str, value: object) -> None:
        self.store.create(key, canonical_json(value))

    def _inputs(self, *stages: Stage) -> dict[str, str]:
        keys = [complete_key(self.id, stage) for stage in stages]
        keys.append(dataset_manifest_key(self.dataset))
        keys.append(base_manifest_key(spec(MODEL).base_prefix))
        return {key: sha256_bytes(self.store.read(key)) for key in keys}

    def _complete(self, stage: Stage, kind: type, **fields: object) -> None:
        manifest = kind.model_validate(
            {
                "run": self.id,
                "stage": str(stage),
                "config_sha256": self.run.config.sha256,
                "image": "local:0123",
                "inputs": {},
                "finished_at": stamp(),
                **fields,
            }
        )
        self.store.create(complete_key(self.id, stage), encode(manifest))


def _scores() -> VariantScores:
    parser = ParserScores(
        n=1,
        parsed=1,
        valid=1,
        failures={},
        binary_accuracy=1.0,
        accuracy_all=1.0,
        mse=1.0,
        mse_all=1.0,
        rouge={},
    )
    return VariantScores(
        n=1,
        loss=1.0,
        train_loss=1.0,
        samples_per_second=1.0,
        tokens_per_second=1.0,
        truncated=0,
        seconds={},
        strict=parser,
        robust=parser,
    )
