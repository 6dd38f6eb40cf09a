"""A world small enough to train in a second: a byte-level Llama of 16 hidden units, a few invented rows, a store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fingpt.config import RunConfig, TrainConfig, read_environment
from fingpt.models import ModelSpec, spec
from fingpt.prompts.examples import Example, encode_jsonl
from fingpt.record import FileRef, sha256_bytes
from fingpt.runs.attempt import Attempt
from fingpt.runs.manifest import BaseManifest, DatasetManifest, PrepManifest, encode
from fingpt.runs.run import (
    Run,
    Stage,
    base_manifest_key,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    run_key,
)
from fingpt.runs.stage import Context
from fingpt.storage import LocalStore, ObjectStore, upload_tree
from fingpt.train.batching import Row

# The trainers that tests start have one thread (tests/conftest.py), and bytes are compared with theirs; in a process
# that loaded OpenMP before that setting it comes too late.
torch.set_num_threads(1)

REPOSITORY = Path(__file__).parents[2]

_SPECIAL = (
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


def invented(count: int, offset: int = 0) -> list[Example]:
    """Examples of different lengths, made up."""
    rows = []
    for number in range(offset, offset + count):
        answer = f"up {number}. " * (1 + number % 3)
        rows.append(
            Example(
                system="s",
                user=f"ask {number} " * (4 + number % 5),
                answer=answer,
                symbol="ACME",
                period="2024-01-01 to 2024-01-08",
                label="up by 1-2%",
                prompt="",
                raw_answer=answer,
            )
        )
    return rows


def small_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and the marks of the llama31 family."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(_SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def small_llama(seed: int = 0) -> LlamaForCausalLM:
    """A random Llama: 2 layers, 16 hidden units, 4 heads of which 2 for keys."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=264,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
        )
    )


def invented_rows(count: int, *, seed: int = 0) -> tuple[Row, ...]:
    """Tokenised rows without a tokenizer."""
    random = torch.Generator().manual_seed(seed)
    rows = []
    for number in range(count):
        ids = torch.randint(1, 264, (60,), generator=random).tolist()
        rows.append(
            Row(f"row-{number}", tuple(ids[: 5 + number % 7]), tuple(ids[40 : 43 + number % 5]))
        )
    return tuple(rows)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base weights and tokenizer as a mirror would hold them."""
    folder = tmp_path_factory.mktemp("base")
    small_llama().save_pretrained(folder)
    small_tokenizer().save_pretrained(folder)
    return folder


_STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_keeps_running() -> Iterator[None]:
    """End stages that a failed test has left; their trainers follow by themselves."""
    yield
    for process in _STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    _STARTED.clear()


@dataclass
class World:
    """A store with base and data set, in which runs can be made and started."""

    store: ObjectStore
    folder: Path
    model: ModelSpec

    def run(self, **train: object) -> Run:
        """Freeze a run whose prep is complete; `train` replaces defaults that suit the small world."""
        settings = {"batch_size": 2, "accumulation": 2, "lr": 0.01, "save_every": 2, **train}
        config = RunConfig(model=self.model.key, train=TrainConfig(**settings))
        run = Run.of(config, {})
        self.store.create(run_key(run.id), run.encode())
        manifest = self.store.read(dataset_manifest_key("invented"))
        self.store.create(
            complete_key(run.id, Stage.PREP),
            encode(
                PrepManifest(
                    run=run.id,
                    stage="prep",
                    config_sha256=config.sha256,
                    image="",
                    inputs={},
                    finished_at="",
                    dataset="invented",
                    dataset_sha256=sha256_bytes(manifest),
                )
            ),
        )
        return run

    def context(self, run: Run, name: str = "scratch") -> Context:
        """What the stage's frame would hand to the body."""
        scratch = self.folder / name
        scratch.mkdir()
        attempt = Attempt(self.store, run.id, Stage.TRAIN, 1)
        return Context(self.store, run, Stage.TRAIN, read_environment(), scratch, attempt)

    def start(
        self, run: Run, log: IO[str] | int = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[str]:
        """The train stage as its own process, in a session of its own; what it says goes to `log`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.train", "--run", f"{self.store.uri}/{run_key(run.id)}"],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stderr=log,
            text=True,
            start_new_session=True,
        )
        _STARTED.append(process)
        return process


@pytest.fixture
def world(tmp_path: Path, base_folder: Path) -> World:
    """16 rows to train on, 4 to evaluate on."""
    return make_world(tmp_path, base_folder)


def make_world(
    folder: Path, base_folder: Path, rows: int = 16, store: ObjectStore | None = None
) -> World:
    """A store, below `folder` if none is given, with everything that train needs.

    Its data set has test rows, too, but their bytes are nowhere: a training that reads them fails.
    """
    store = store or LocalStore(folder / "store")
    model = spec("tiny-llama31")
    files = upload_tree(store, base_folder, model.base_prefix)
    base = BaseManifest(base=model.base, revision=model.revision, files=files)
    store.create(base_manifest_key(model.base_prefix), encode(base))
    data = folder / "data"
    data.mkdir()
    (data / "train.jsonl").write_bytes(encode_jsonl(invented(rows)))
    (data / "validation.jsonl").write_bytes(encode_jsonl(invented(4, offset=rows)))
    test = FileRef(name="test.jsonl", size=9, sha256="0" * 64)
    manifest = DatasetManifest(
        id="invented",
        source="tests",
        split_rule="published",
        counts={"train": rows, "validation": 4, "test": 4},
        weeks={},
        files=(*upload_tree(store, data, dataset_prefix("invented")), test),
    )
    store.create(dataset_manifest_key("invented"), encode(manifest))
    return World(store, folder, model)


@pytest.fixture
def torch_as_before() -> Iterator[None]:
    """Undo what a training switches on for its whole process."""
    names = ("CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG", "FLASH_ATTENTION_DETERMINISTIC")
    before = {name: os.environ.get(name) for name in names}
    yield
    torch.use_deterministic_algorithms(False)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def invent() -> SimpleNamespace:
    """Makers of small things, for tests that need more than one."""
    return SimpleNamespace(
        examples=invented,
        llama=small_llama,
        tokenizer=small_tokenizer,
        rows=invented_rows,
        world=make_world,
    )
