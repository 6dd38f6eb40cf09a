"""Finished runs made of thin air: two models, ten weeks, thirty symbols, with or without planted skill."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fingpt.config import EvalConfig, PrepConfig, RunConfig, TrainConfig
from fingpt.prompts.examples import LABELS, Example, encode_jsonl
from fingpt.report.score_arrays import ROUGES, SECTIONS, ScoreArrays
from fingpt.runs.manifest import (
    DatasetManifest,
    EvalManifest,
    Finding,
    ParserScores,
    RougeScores,
    TrainManifest,
    VariantScores,
    encode,
)
from fingpt.runs.run import (
    Run,
    Stage,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    run_key,
    stage_prefix,
)
from fingpt.storage import ObjectStore, put

START = date(2030, 1, 6)
# Small moves are common, as in markets: a forecast of no change has a MSE of about 8.
WEIGHTS = np.array([2, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 2]) / 34
COLUMNS = [f"{section}_{name}" for section in SECTIONS for name in ROUGES]


@dataclass(frozen=True)
class Plan:
    """What a made-up run is like: how often it is right, how well it writes, how fast it is."""

    right: float = 0.5
    unread: float = 0.04
    loss: float = 0.8
    rouge: float = 0.42
    seed: int = 1
    samples_per_second: float = 1.5
    train_seconds: float = 300.0
    new_tokens: int = 320
    device: str = "GPU A"
    max_new_tokens: int = 512
    finished_at: str = "2030-06-01T00:00:00+00:00"
    base: bool = True
    run_seed: int = 42
    origin: int | None = None
    code: str = ""
    lr: float = 2e-4
    split: str = "test"


def make_examples(weeks: int = 10, symbols: int = 30, seed: int = 7) -> list[Example]:
    """Rows of invented symbols; labels are noise, and each prompt prints last week's prices."""
    rng = np.random.default_rng(seed)
    found: list[Example] = []
    for week in range(weeks):
        start = START + timedelta(days=7 * week)
        period = f"{start} to {start + timedelta(days=7)}"
        for symbol in range(symbols):
            name = f"S{symbol:02d}"
            price = round(float(rng.uniform(97, 104)), 2)
            past = f"From {start - timedelta(days=7)} to {start}, {name}'s stock price moved"
            head = f"{past} from 100.00 to {price:.2f}. News follow."
            label = LABELS[int(rng.choice(len(LABELS), p=WEIGHTS))]
            found.append(Example("system", head, label, name, period, label, head, label))
    return found


def make_rows(examples: list[Example], plan: Plan) -> ScoreArrays:
    """Scored answers to the examples under a plan, sorted by example id."""
    rng = np.random.default_rng(plan.seed)
    examples = sorted(examples, key=lambda example: example.id)
    truth = np.array([example.margin for example in examples])
    n = len(examples)
    direction = np.where(rng.random(n) < plan.right, 1, -1) * np.sign(truth)
    # A planted model also knows how far; without skill, sizes are small and blind.
    known = np.abs(truth) if plan.right > 0.6 else np.full(n, 1.5)
    margin = direction * known
    unread = rng.random(n) < plan.unread
    nan = np.where(unread, np.nan, 1.0)
    tokens = np.array([40.0 + len(example.answer) % 7 for example in examples])
    return ScoreArrays(
        example=tuple(example.id for example in examples),
        week=tuple(example.start.isoformat() for example in examples),
        truth=truth,
        nll=tokens * rng.normal(plan.loss, 0.05, n),
        answer_tokens=tokens,
        new_tokens=rng.normal(plan.new_tokens, 20, n).round(),
        seconds=np.full(n, 1 / plan.samples_per_second),
        parsed=(~unread).astype(float),
        valid=(~unread).astype(float),
        direction=direction * nan,
        margin=margin * nan,
        rouge={name: rng.normal(plan.rouge, 0.08, n).clip(0, 1) * nan for name in COLUMNS},
    )


def parser_scores(rows: ScoreArrays) -> ParserScores:
    read = rows.parsed == 1
    unread = int((~read).sum())
    rouge = {
        section: RougeScores(
            **{n: float(np.mean(rows.rouge[f"{section}_{n}"][read])) for n in ROUGES}
        )
        for section in SECTIONS
        if read.any()
    }
    return ParserScores(
        n=rows.n,
        parsed=rows.n - unread,
        valid=rows.n - unread,
        failures={"no prediction line": unread} if unread else {},
        binary_accuracy=float(rows.correct[read].mean()) if read.any() else None,
        accuracy_all=float(rows.correct.mean()),
        mse=float(rows.squared_error[read].mean()) if read.any() else None,
        mse_all=float(rows.squared_error.mean()),
        rouge=rouge,
    )


def table(rows: dict[str, ScoreArrays]) -> bytes:
    columns: dict[str, list] = {"variant": []}
    for variant, its in rows.items():
        columns["variant"] += [variant] * its.n
        for name in ("example", "week"):
            columns.setdefault(name, []).extend(getattr(its, name))
        for name in (
            "truth",
            "nll",
            "answer_tokens",
            "new_tokens",
            "seconds",
            "direction",
            "margin",
        ):
            values = [None if np.isnan(v) else float(v) for v in getattr(its, name)]
            columns.setdefault(name, []).extend(values)
        for name in ("parsed", "valid"):
            columns.setdefault(name, []).extend(bool(v) for v in getattr(its, name))
        for name in COLUMNS:
            columns.setdefault(name, []).extend(
                None if np.isnan(v) else float(v) for v in its.rouge[name]
            )
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def answers(run: str, variant: str, rows: ScoreArrays) -> bytes:
    """A stored chunk of answers: a head line, then one line per row."""
    lines = [{"context": "", "rows": rows.n, "sha256": ""}]
    lines += [
        {"example": name, "prediction": f"{variant} answer of {run} to {name[:8]}"}
        for name in rows.example
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class World:
    """A store with one data set, to which finished runs are added."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        weeks: int = 10,
        symbols: int = 30,
        leaky: bool = False,
        tail: str = "",
        answer: str = "",
    ) -> None:
        """`tail` and `answer` end every prompt and answer of the data set."""
        self.store = store
        self.test, self.train = (
            [replace(row, user=row.user + tail, answer=row.answer + answer) for row in rows]
            for rows in (make_examples(weeks, symbols), make_examples(4, symbols, seed=8))
        )
        kind = "bad" if leaky else "da7a"
        self.dataset = f"{kind}{weeks:02d}{symbols:02d}{len(tail):04d}{len(answer):04d}"
        prefix = dataset_prefix(self.dataset)
        files = tuple(
            put(store, f"{prefix}/{name}.jsonl", encode_jsonl(rows))
            for name, rows in (("test", self.test), ("train", self.train))
        )
        finding = Finding(
            rule="constant-market-cap",
            severity="error",
            count=300,
            of=300,
            text="one value <b>per</b> symbol",
        )
        self.manifest = DatasetManifest(
            id=self.dataset,
            source="raw/0123",
            split_rule="random 80/20" if leaky else "calendar, embargo 1 week",
            leaky=leaky,
            counts={"test": len(self.test), "train": len(self.train), "validation": 0},
            weeks={"test": weeks, "train": 4, "validation": 0},
            findings=(finding,) if leaky else (),
            files=files,
        )
        put(store, dataset_manifest_key(self.dataset), encode(self.manifest))

    def add(self, model: str, plan: Plan, rows: dict[str, ScoreArrays] | None = None) -> str:
        """Store a finished run of `model` and return its id."""
        train = TrainConfig(lr=plan.lr)
        own = EvalConfig(split=plan.split)
        config = RunConfig(model=model, seed=plan.run_seed, train=train, eval=own)
        if plan.origin:
            prep = PrepConfig(origins=4, origin=plan.origin)
            config = config.model_copy(update={"prep": prep})
        run = Run.of(config, {"train": plan.code or plan.finished_at})
        put(self.store, run_key(run.id), run.encode())
        if rows is None:
            rows = {"tuned": make_rows(self.test, plan)}
            if plan.base:
                base = Plan(
                    right=0.5,
                    unread=0.6,
                    loss=plan.loss + 0.6,
                    rouge=plan.rouge - 0.15,
                    seed=plan.seed + 50,
                )
                rows["base"] = make_rows(self.test, base)
        put(self.store, complete_key(run.id, Stage.TRAIN), encode(self._adapter(run, plan)))
        put(self.store, complete_key(run.id, Stage.EVAL), encode(self._evaluation(run, plan, rows)))
        return run.id

    def _shared(self, run: Run, stage: Stage, plan: Plan) -> dict:
        return {
            "run": run.id,
            "stage": str(stage),
            "config_sha256": run.config.sha256,
            "image": "local:0123",
            "inputs": {},
            "finished_at": plan.finished_at,
            "versions": {"torch": "2.13.0"},
            "hardware": {"device": plan.device, "threads": "2"},
        }

    def _adapter(self, run: Run, plan: Plan) -> TrainManifest:
        rng = np.random.default_rng(plan.seed)
        curve = [
            {
                "step": step,
                "loss": plan.loss + 1.5 * float(np.exp(-step / 12)) + float(rng.normal(0, 0.03)),
                "eval_loss": plan.loss + 1.4 * float(np.exp(-step / 12)) if step % 6 == 0 else None,
            }
            for step in range(1, 61)
        ]
        data = "\n".join(json.dumps(line) for line in curve).encode()
        ref = put(self.store, f"{stage_prefix(run.id, Stage.TRAIN)}/metrics.jsonl", data)
        total = plan.train_seconds
        return TrainManifest(
            **self._shared(run, Stage.TRAIN, plan),
            seconds={
                "fetch": 0.05 * total,
                "tokenise": 0.02 * total,
                "load": 0.08 * total,
                "train": 0.8 * total,
                "steps": 0.7 * total,
                "checkpoints": 0.04 * total,
                "save": 0.01 * total,
                "upload": 0.02 * total,
                "total": total,
            },
            base="0" * 8,
            base_sha256="1" * 64,
            tokenizer_sha256="2" * 64,
            template_sha256="3" * 64,
            dataset=self.dataset,
            steps=60,
            rows=len(self.train),
            tokens=100_000,
            answer_tokens=20_000,
            trainable_parameters=41_943_040,
            train_loss=plan.loss,
            eval_loss=plan.loss,
            eval_split="test",
            dropped_news=0,
            padding_share=0.02,
            peak_memory_bytes=20 << 30,
            resumed=0,
            exactness="bitwise",
            files=(ref,),
        )

    def _evaluation(self, run: Run, plan: Plan, rows: dict[str, ScoreArrays]) -> EvalManifest:
        scores = {}
        for variant, its in rows.items():
            generate = its.n / plan.samples_per_second
            scores[variant] = VariantScores(
                n=its.n,
                loss=float(its.nll.sum() / its.answer_tokens.sum()),
                train_loss=plan.loss,
                samples_per_second=plan.samples_per_second,
                tokens_per_second=plan.samples_per_second * plan.new_tokens,
                truncated=3,
                seconds={"load": 10.0, "loss": 15.0, "generate": generate, "score": 4.0},
                strict=parser_scores(its),
                robust=parser_scores(its),
            )
        prefix = stage_prefix(run.id, Stage.EVAL)
        files = [put(self.store, f"{prefix}/scores.parquet", table(rows))]
        for variant, its in rows.items():
            name = f"predictions/{variant}/0000.jsonl"
            ref = put(self.store, f"{prefix}/{name}", answers(run.id, variant, its))
            files.append(ref.model_copy(update={"name": name}))
        return EvalManifest(
            **self._shared(run, Stage.EVAL, plan),
            dataset=self.dataset,
            adapter_sha256="5" * 64,
            base_sha256="1" * 64,
            decoding={
                "method": "greedy",
                "max_new_tokens": plan.max_new_tokens,
                "batch_size": 16,
                "stop_ids": f"1,{len(run.config.model)}",
            },
            scores=scores,
            split=run.config.eval.split,
            files=tuple(files),
        )
