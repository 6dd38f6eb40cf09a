"""vLLM itself against transformers, on a CPU: `make test-vllm`, in an environment of its own.

Two models. A random one says something else about every prompt, so a wrong weight or position shows at once. The tiny
one was trained by the train stage, as real ones are: for it the protocol holds by which a faster engine is accepted.
The noise is what transformers disagrees with itself by, once its attention is another kernel; vLLM may disagree by half
as much again in fields of answers, and means of scores may differ by what chance explains (paired bootstrap, 95 %).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.config import LoraConfig as LoraSettings
from fingpt.config import load_config
from fingpt.eval.engine_transformers import TransformersEngine
from fingpt.eval.engine_vllm import VllmEngine, VllmSettings
from fingpt.eval.forecast import Forecast
from fingpt.eval.generate import Answer, Decoding
from fingpt.eval.metric_modules import MetricModules
from fingpt.eval.model import load
from fingpt.eval.prompts import Prompt
from fingpt.eval.score import Pair, score_robust
from fingpt.prompts.chat import load_tokenizer, render_all, stop_ids
from fingpt.prompts.examples import Example, encode_jsonl
from fingpt.record import canonical_json
from fingpt.runs.run import Run
from fingpt.storage import open_store
from fingpt.synthetic.rows import SYSTEM, Row, sample_rows
from fingpt.synthetic.tiny import RECIPE, make_base
from fingpt.train.handoff import TrainTask
from fingpt.train.launch import run_trainer
from fingpt.weights.adapter import peft_arguments
from jobs import CONFIGS
from tests.eval.conftest import LORA
from tests.eval.invented import MODEL, example

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """A base, an adapter, both engines over them, and rows to ask."""

    base: Path
    adapter: Path
    lora: LoraSettings
    prompts: list[Prompt]
    reference: TransformersEngine
    vllm: VllmEngine


def world(
    folders: tuple[Path, Path],
    lora: LoraSettings,
    rows: list[Example],
    new_tokens: int,
    cache: Path,
) -> World:
    base, adapter = folders
    tokenizer = load_tokenizer(base)
    rendered = render_all(MODEL, tokenizer, rows, 4096)
    prompts = [
        Prompt(row, one.prompt_ids, one.answer_ids) for row, one in zip(rows, rendered, strict=True)
    ]
    decoding = Decoding(stop_ids(MODEL, tokenizer), new_tokens)
    longest = max(len(prompt.prompt_ids) for prompt in prompts) + new_tokens
    started = VllmSettings(base, adapter, lora, "fp32", longest, cache)
    reference = TransformersEngine(
        load(base, adapter, CPU, torch.float32, lora), tokenizer, decoding
    )
    return World(base, adapter, lora, prompts, reference, VllmEngine(started, tokenizer, decoding))


@pytest.fixture(scope="module")
def invented(tmp_path_factory, tokenizer) -> World:
    """A random base whose heads are as wide as vLLM's smallest on a CPU, and an adapter that changes what it says."""
    base, adapter = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=1024,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    torch.manual_seed(1)
    tuned = get_peft_model(
        LlamaForCausalLM.from_pretrained(base), LoraConfig(**peft_arguments(LORA))
    )
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(adapter)
    rows = [example(number) for number in range(24)]
    return world((base, adapter), LORA, rows, 32, tmp_path_factory.mktemp("cache"))


def asked(row: Row) -> Example:
    return Example(
        system=SYSTEM,
        user=row.user,
        answer=row.answer,
        symbol=row.symbol,
        period=row.period,
        label=row.label,
        prompt="",
        raw_answer=row.answer,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> World:
    """The tiny base, and the adapter that the train stage's own process makes of the sample in half a minute."""
    folder = tmp_path_factory.mktemp("trained")
    make_base(MODEL, folder / "base", RECIPE)
    run = Run.of(load_config(CONFIGS / "tiny-llama31.yaml", ["train.epochs=2"]), {})
    sample = {name: [asked(row) for row in rows] for name, rows in sample_rows().items()}
    data = folder / "data"
    data.mkdir()
    for name, rows in {"train": sample["train"], "validation": sample["train"][:4]}.items():
        (data / f"{name}.jsonl").write_bytes(encode_jsonl(rows))
    task = TrainTask(
        run=run,
        store=open_store((folder / "store").as_uri()).uri,
        folder=folder / "train",
        base=folder / "base",
        data=data,
        context={"base": "tiny"},
        attempt=1,
        supervisor=os.getpid(),
    )
    task.folder.mkdir()
    task.path.write_bytes(canonical_json(task))
    run_trainer(task)
    folders = (folder / "base", task.adapter)
    lora = run.config.train.lora
    return world(folders, lora, sample["test"][::3], 192, folder / "cache")


def differing(one, two) -> int:
    """How many of them are not equal."""
    return sum(first != second for first, second in zip(one, two, strict=True))


def noisy(world: World, variant) -> list[Answer]:
    """What transformers answers with another attention, one prompt at a time."""
    model = world.reference.model.get_base_model()
    model.set_attn_implementation("eager")
    found = [world.reference.answers(variant, [prompt])[0][0] for prompt in world.prompts]
    model.set_attn_implementation("sdpa")
    return found


@pytest.mark.parametrize("variant", ["base", "tuned"])
def test_answers_of_a_random_model_are_those_of_transformers(variant, invented):
    wanted, _ = invented.reference.answers(variant, invented.prompts)
    found, seconds = invented.vllm.answers(variant, invented.prompts)
    assert seconds > 0
    assert (
        len({answer.prediction for answer in found}) > len(found) / 3
    )  # they say different things
    assert differing(wanted, found) <= 1.5 * differing(wanted, noisy(invented, variant))


def test_the_adapter_changes_the_answers_and_the_base_comes_back_without_it(invented):
    engine, prompts = invented.vllm, invented.prompts
    base, _ = engine.answers("base", prompts)
    tuned, _ = engine.answers("tuned", prompts)
    assert differing(base, tuned) > len(prompts) / 2
    assert engine.answers("base", prompts)[0] == base
    assert engine.answers("tuned", prompts)[0] == tuned


def test_what_was_asked_before_a_chunk_changes_nothing_in_it(invented):
    engine, prompts = invented.vllm, invented.prompts
    first, _ = engine.answers("tuned", prompts[:6])
    engine.answers("tuned", prompts)
    again, _ = engine.answers("tuned", prompts[:6])
    assert again == first


@dataclass(frozen=True)
class Scores:
    """Of every answer: what the parser read off it, and its figures (right, squared error, ROUGE-L)."""

    fields: list[object]
    figures: np.ndarray

    @classmethod
    def of(cls, world: World, answers: list[Answer], metrics: MetricModules) -> Scores:
        by_id = {answer.example: answer.prediction for answer in answers}
        rows = [prompt.example for prompt in world.prompts]
        pairs = [Pair(by_id[row.id], row.raw_answer, row.label) for row in rows]
        fields, figures = [], []
        for one in score_robust(pairs=pairs, metrics=metrics):
            said = one.forecast
            read = isinstance(said, Forecast)
            fields.append((said.direction, said.bin, said.margin) if read else said)
            rouge = one.rouge["analysis"].rougeL if one.rouge else 0.0
            gap = ((said.margin or 0.0) if read else 0.0) - one.true_margin
            figures.append((float(read and said.direction == one.true_direction), gap**2, rouge))
        return cls(fields, np.array(figures))


@pytest.mark.parametrize("variant", ["base", "tuned"])
def test_a_trained_model_is_scored_alike_by_both_engines(variant, trained, tmp_path):
    metrics = MetricModules(tmp_path)
    found, wanted, other = (
        Scores.of(trained, answers, metrics)
        for answers in (
            trained.vllm.answers(variant, trained.prompts)[0],
            trained.reference.answers(variant, trained.prompts)[0],
            noisy(trained, variant),
        )
    )
    if variant == "tuned":  # it has learnt to answer
        assert sum(isinstance(field, tuple) for field in wanted.fields) > len(wanted.fields) / 2
    floor = differing(wanted.fields, other.fields)
    assert differing(wanted.fields, found.fields) <= 1.5 * floor
    gaps = found.figures - wanted.figures
    draws = np.random.default_rng(0).integers(len(gaps), size=(2000, len(gaps)))
    low, high = np.quantile(gaps[draws].mean(axis=1), [0.025, 0.975], axis=0)
    assert (low <= 0).all()
    assert (high >= 0).all()
