"""Tiny bases: the same bytes from the same seed, the family's own marks, and no knowledge of the sample's answers."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from fingpt.errors import ConfigError
from fingpt.eval.forecast import ParseFailure
from fingpt.eval.robust import robust
from fingpt.models import MODELS, spec
from fingpt.prompts import chat
from fingpt.prompts.examples import Example
from fingpt.storage import LocalStore
from fingpt.synthetic import tiny
from fingpt.synthetic.rows import SYSTEM, sample_rows
from fingpt.synthetic.text import SAMPLE_COMPANIES
from fingpt.weights.base import fetch_base

TINY = [key for key, row in MODELS.items() if row.tiny]

# Of a third party, by its text; ours stay errors.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script(_method)?` is deprecated:DeprecationWarning"
)

SMALL = tiny.Recipe(
    hidden=32, layers=1, heads=2, inner=48, digests=1, prompts=1, batch=8, threads=1
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for key in TINY:
        made[key] = tmp_path_factory.mktemp(key)
        tiny.make_base(spec(key), made[key], SMALL)
    return made


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folders, tmp_path):
    first = hashes(folders["tiny-llama31"])
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(first)
    tiny.make_base(spec("tiny-llama31"), tmp_path / "again", SMALL)
    assert hashes(tmp_path / "again") == first
    other = tiny.Recipe(**{**{f: getattr(SMALL, f) for f in SMALL.__slots__}, "seed": 8})
    tiny.make_base(spec("tiny-llama31"), tmp_path / "other", other)
    assert hashes(tmp_path / "other")["model.safetensors"] != first["model.safetensors"]


@pytest.mark.parametrize("key", TINY)
def test_the_base_is_a_llama_that_transformers_loads(key, folders):
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folders[key])
    tokenizer = chat.load_tokenizer(folders[key])
    assert isinstance(model, LlamaForCausalLM)
    assert model.config.vocab_size == len(tokenizer)
    assert tuple(model.config.eos_token_id) == chat.stop_ids(spec(key), tokenizer)
    assert model.config.pad_token_id == chat.pad_id(spec(key), tokenizer)
    assert model.config.pad_token_id not in chat.stop_ids(spec(key), tokenizer)
    assert model.config.max_position_embeddings >= 8192


@pytest.mark.parametrize("key", TINY)
def test_any_text_survives_the_tokenizer(key, folders):
    tokenizer = chat.load_tokenizer(folders[key])
    row = sample_rows()["test"][0]
    answer = "Überraschung: 売上高 🚀 <|eot_id|></think>\r\nPrediction: Up by 1-2%"
    example = Example(
        SYSTEM, row.user, answer, row.symbol, row.period, row.label, prompt="", raw_answer=""
    )
    rendered = chat.render(spec(key), tokenizer, example, 8192)
    assert tokenizer.decode(rendered.answer_ids[:-1]) == answer


@pytest.mark.parametrize("key", TINY)
def test_sample_prompts_stay_short_in_tokens(key, folders):
    tokenizer = chat.load_tokenizer(folders[key])
    sizes = []
    for row in sample_rows()["test"][::10]:
        columns = row.columns()
        example = Example(
            *(SYSTEM, row.user, row.answer, row.symbol, row.period, row.label),
            prompt=columns["prompt"],
            raw_answer=row.answer,
        )
        rendered = chat.render(spec(key), tokenizer, example, 8192)
        sizes.append((len(rendered.prompt_ids), len(rendered.answer_ids)))
    assert 300 < sum(p for p, _ in sizes) / len(sizes) < 500
    assert 90 < sum(a for _, a in sizes) / len(sizes) < 140


def test_practice_text_has_other_companies_and_a_layout_that_is_no_forecast():
    rows = tiny.practice_rows(SMALL)
    names = re.compile("|".join(c.name for c in SAMPLE_COMPANIES))
    for row in rows:
        assert not names.search(row.user)
        assert isinstance(robust(tiny.prose(row)), ParseFailure)


def test_publish_stores_a_base_that_the_stages_can_fetch_and_makes_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "RECIPE", SMALL)
    store = LocalStore(tmp_path / "store")
    manifest = tiny.publish(store, spec("tiny-llama31"))
    folder = fetch_base(store, spec("tiny-llama31"), tmp_path / "cache")
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert {file.name for file in manifest.files} == {path.name for path in folder.iterdir()}

    monkeypatch.setattr(tiny, "make_base", lambda *_: pytest.fail("made a second time"))
    tiny.publish(store, spec("tiny-llama31"))


def test_a_full_size_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'llama31' is no tiny model"):
        tiny.publish(LocalStore(tmp_path / "store"), spec("llama31"))
