"""A world small enough to evaluate in a second: a byte-level Llama, a few invented rows, an adapter, a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fingpt.config import Environment, EvalConfig, RunConfig, TrainConfig
from fingpt.config import LoraConfig as LoraSettings
from fingpt.eval.metric_modules import MetricModules
from fingpt.prompts.examples import encode_jsonl
from fingpt.prompts.families import template_sha256
from fingpt.record import FileRef, sha256_bytes
from fingpt.runs.attempt import Attempt
from fingpt.runs.manifest import (
    BaseManifest,
    DatasetManifest,
    PrepManifest,
    TrainManifest,
    encode,
)
from fingpt.runs.run import (
    Run,
    Stage,
    base_manifest_key,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    run_key,
    stage_prefix,
)
from fingpt.runs.stage import Context
from fingpt.storage import ObjectStore, upload_tree
from fingpt.weights.adapter import peft_arguments
from tests.eval.invented import MODEL, example

LORA = LoraSettings(r=2, alpha=64, dropout=0.0, targets=("q_proj", "down_proj"))

MARKS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|finetune_right_pad_id|>",
)


# Of third parties, by their text; ours stay errors.
_FOREIGN_WARNINGS = (
    "ignore:`torch.jit.script(_method)?` is deprecated:DeprecationWarning",
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for text in _FOREIGN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and the marks of the llama31 family."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(MARKS))
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.fixture(scope="session")
def small_model() -> LlamaForCausalLM:
    """A random Llama: 2 layers, 16 hidden units, 4 heads of which 2 for keys."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,  # a forgotten position changes what it says
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory, small_model, tokenizer) -> Path:
    """Base weights and tokenizer as a mirror would hold them."""
    folder = tmp_path_factory.mktemp("base")
    small_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory, base_folder) -> Path:
    """A LoRA adapter that changes what the base says."""
    folder = tmp_path_factory.mktemp("adapter")
    base: Any = LlamaForCausalLM.from_pretrained(base_folder)
    torch.manual_seed(1)
    tuned = get_peft_model(base, LoraConfig(**peft_arguments(LORA)))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def metrics(tmp_path_factory) -> MetricModules:
    return MetricModules(tmp_path_factory.mktemp("metrics"))


@dataclass
class World:
    """A store in which prep and train of one run are complete."""

    store: ObjectStore
    folder: Path
    adapter: tuple[FileRef, ...]
    base: BaseManifest

    def run(self, engine: str = "auto", **changes: Any) -> Run:
        """A run with complete prep and train; `changes` replace fields of the adapter's manifest."""
        settings = EvalConfig(batch_size=3, max_new_tokens=8, engine=engine)
        run = Run.of(RunConfig(model=MODEL.key, train=TrainConfig(lora=LORA), eval=settings), {})
        self.store.create(run_key(run.id), run.encode())
        who = {
            "run": run.id,
            "config_sha256": run.config.sha256,
            "image": "",
            "inputs": {},
            "finished_at": "",
        }
        dataset = sha256_bytes(self.store.read(dataset_manifest_key("invented")))
        prep = PrepManifest(**who, stage="prep", dataset="invented", dataset_sha256=dataset)
        self.store.create(complete_key(run.id, Stage.PREP), encode(prep))
        prefix = stage_prefix(run.id, Stage.TRAIN)
        for file in self.adapter:
            data = (self.folder / file.name).read_bytes()
            self.store.create(f"{prefix}/{file.name}", data)
        fields = {
            "base": f"{MODEL.base}@{MODEL.revision}",
            "base_sha256": self.base.sha256,
            "tokenizer_sha256": "t",
            "template_sha256": template_sha256(MODEL),
            "dataset": "invented",
            **dict.fromkeys(("steps", "rows", "tokens", "answer_tokens"), 1),
            **dict.fromkeys(("trainable_parameters", "peak_memory_bytes"), 1),
            **dict.fromkeys(("dropped_news", "resumed"), 0),
            **dict.fromkeys(("train_loss", "padding_share"), 0.0),
            "eval_loss": None,
            "eval_split": "test",
            "exactness": "bitwise",
            "files": self.adapter,
            **changes,
        }
        adapter = TrainManifest(**who, stage="train", **fields)
        self.store.create(complete_key(run.id, Stage.TRAIN), encode(adapter))
        return run

    def context(self, run: Run, name: str = "scratch") -> Context:
        """What the stage's frame would hand to the body."""
        scratch = self.folder / name
        scratch.mkdir()
        site = Environment(store=self.store.uri, cache=self.folder / "cache")
        attempt = Attempt(self.store, run.id, Stage.EVAL, 1)
        return Context(self.store, run, Stage.EVAL, site, scratch, attempt)


@pytest.fixture
def world(store, tmp_path, base_folder, adapter_folder) -> World:
    """7 test, 5 train and 4 validation rows, a base and an adapter."""
    return make_world(store, tmp_path, base_folder, adapter_folder)


def make_world(
    store: ObjectStore, tmp_path: Path, base_folder: Path, adapter_folder: Path
) -> World:
    """The world in `store`, with scratch in `tmp_path`."""
    files = upload_tree(store, base_folder, MODEL.base_prefix)
    base = BaseManifest(base=MODEL.base, revision=MODEL.revision, files=files)
    store.create(base_manifest_key(MODEL.base_prefix), encode(base))
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_bytes(encode_jsonl([example(n) for n in range(100, 105)]))
    (data / "test.jsonl").write_bytes(encode_jsonl([example(n) for n in range(7)]))
    (data / "validation.jsonl").write_bytes(encode_jsonl([example(n) for n in range(200, 204)]))
    dataset = DatasetManifest(
        id="invented",
        source="tests",
        split_rule="published",
        counts={"train": 5, "validation": 4, "test": 7},
        weeks={},
        files=upload_tree(store, data, dataset_prefix("invented")),
    )
    store.create(dataset_manifest_key("invented"), encode(dataset))
    (tmp_path / "adapter").symlink_to(adapter_folder)
    adapter = tuple(
        FileRef(
            name=f"adapter/{path.name}",
            size=path.stat().st_size,
            sha256=sha256_bytes(path.read_bytes()),
        )
        for path in sorted(adapter_folder.iterdir())
    )
    return World(store, tmp_path, adapter, base)
