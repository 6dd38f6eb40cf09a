"""The engine is chosen once, kept, and whichever it is the table is the same; vLLM itself is `make test-vllm`'s."""

from __future__ import annotations

import os
import weakref

import pytest
import torch

from fingpt import hardware
from fingpt.config import EvalConfig
from fingpt.errors import ConfigError, DataError, DivergedError, Interrupted, SetupError
from fingpt.eval import engine, engine_vllm, loaded, scoring, variant
from fingpt.eval.caches import compiled_cache
from fingpt.eval.engine import choose
from fingpt.eval.engine_transformers import TransformersEngine
from fingpt.eval.generate import Decoding, greedy_ids
from fingpt.eval.model import active, load
from fingpt.eval.prompts import Prompt
from fingpt.eval.scoring import TransformersScoring
from fingpt.eval.stage import body
from fingpt.prompts.chat import render_all
from fingpt.record import sha256_bytes
from fingpt.runs.manifest import EngineChoice, decode, encode
from fingpt.runs.run import Stage, engine_key, stage_prefix
from tests.eval.conftest import LORA
from tests.eval.invented import MODEL, example
from tests.eval.standin_vllm import install
from tests.eval.test_stage import table_of

WORDS = ("example", "variant", "prediction", "label", "new_tokens", "truncated", "parsed", "truth")


@pytest.fixture
def vllm(monkeypatch):
    for name in set(os.environ):
        monkeypatch.setenv(name, os.environ[name])  # what the engine sets there ends with the test
    before = dict(os.environ)
    yield install(monkeypatch)
    for name in set(os.environ) - set(before):
        del os.environ[name]


def test_both_engines_give_the_same_table_and_the_manifest_says_which_and_why(world, vllm):
    plain, other = world.run(), world.run("vllm")
    first = body(world.context(plain))
    second = body(world.context(other, "other"))
    one, two = table_of(world, plain), table_of(world, other)
    for mine, its in zip(one, two, strict=True):
        assert {name: mine[name] for name in WORDS if name in mine} == {
            name: its[name] for name in WORDS if name in its
        }
        assert its["label_logp"] == pytest.approx(mine["label_logp"], abs=1e-4)
        assert its["nll"] == mine["nll"]
    assert first.hardware["engine"].startswith("transformers ")
    assert first.hardware["engine"].endswith("(there is no GPU)")
    assert second.hardware["engine"] == "vllm 0.33.0 (asked for)"
    assert second.decoding["engine"] == "vllm"
    assert second.decoding["adapter"] == "merged"
    assert (
        first.hardware["scoring"] == second.hardware["scoring"] == "transformers (there is no GPU)"
    )
    assert "engine.json" in [file.name for file in second.files]
    assert vllm.asked[0]["trust_remote_code"] is False
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["VLLM_NO_USAGE_STATS"] == "1"
    # One load, one chunk of each variant, and between them the merged weights.
    assert vllm.asked[1:] == ["reset", 7, "reload_weights", "reset", 7]


def test_an_evaluation_by_vllm_that_was_killed_ends_with_the_same_bytes(world, vllm, monkeypatch):
    monkeypatch.setattr(variant, "ANSWER_ROWS", 3)
    run = world.run("vllm")
    real, calls = engine_vllm.VllmEngine.answers, []

    def stop_after_two(*args):
        if len(calls) == 2:
            raise Interrupted("stopped")
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(engine_vllm.VllmEngine, "answers", stop_after_two)
    with pytest.raises(Interrupted):
        body(world.context(run))
    prefix = stage_prefix(run.id, Stage.EVAL)
    before = {key: world.store.read(key) for key in world.store.keys(prefix)}
    monkeypatch.setattr(
        engine_vllm.VllmEngine, "answers", lambda *args: calls.append(args) or real(*args)
    )
    manifest = body(world.context(run, "again"))
    assert len(calls) == 6  # 7 rows in chunks of 3, two variants: none was made twice
    assert all(world.store.read(key) == data for key, data in before.items())
    loads = [one for one in vllm.asked if isinstance(one, dict)]
    assert len(loads) == 2
    assert vllm.asked.count("reload_weights") == 1  # for all chunks of the tuned model
    files = {file.name: file.sha256 for file in manifest.files}
    for key, data in before.items():
        assert files[key.removeprefix(f"{prefix}/")] == sha256_bytes(data)
    # Complete but for its manifest: nothing is loaded any more.
    monkeypatch.setattr(variant.Evaluation, "load_model", lambda self: pytest.fail("loaded"))
    assert body(world.context(run, "third")).files == manifest.files
    assert len([one for one in vllm.asked if isinstance(one, dict)]) == 2


def test_a_run_keeps_the_engine_that_it_was_begun_with(world, vllm, monkeypatch):
    run = world.run()
    made = EngineChoice(
        engine="vllm", version="0.20.0", why="a GPU and vLLM are here", answer_rows=320
    )
    world.store.create(engine_key(run.id), encode(made))
    with pytest.raises(SetupError, match=r"begun with vLLM 0\.20\.0, and vLLM 0\.33\.0 is") as told:
        body(world.context(run))
    prefix = stage_prefix(run.id, Stage.EVAL)
    assert f"delete all below {prefix}/ and run eval again" in str(told.value)


def test_auto_takes_vllm_for_bf16_on_a_gpu_that_has_it(vllm, monkeypatch):
    settings = EvalConfig()
    assert choose(settings, "bf16", 320).why == "there is no GPU"
    monkeypatch.setattr(hardware, "device", lambda: torch.device("cuda", 0))
    found = choose(settings, "bf16", 320)
    assert (found.engine, found.version, found.answer_rows) == ("vllm", "0.33.0", 320)
    precise = choose(settings, "fp32", 320)
    assert (precise.engine, precise.answer_rows) == ("transformers", settings.batch_size)
    assert precise.why == "vLLM is for bf16, and eval.precision is fp32"
    monkeypatch.setattr(engine, "_vllm", lambda: "")
    assert choose(settings, "bf16", 320).why == "vLLM is not installed"
    plain = choose(EvalConfig(engine="transformers"), "bf16", 320)
    assert (plain.engine, plain.why) == ("transformers", "asked for")


def test_vllm_that_is_asked_for_and_not_there_says_what_to_do():
    with pytest.raises(
        SetupError, match=r"needs vLLM, which is not installed here: .*`make images GPU=1`"
    ):
        choose(EvalConfig(engine="vllm"), "bf16", 320)


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), DivergedError, "too little memory"),
        (ValueError("No available memory for the cache blocks."), DivergedError, "too little"),
        (RuntimeError("Device string must not be empty\nmore"), SetupError, r"must not be empty\)"),
        (ImportError("libcudart.so.13: cannot open"), SetupError, r"libcudart.so.13.*mend that"),
    ],
)
def test_what_vllm_fails_with_is_one_sentence(world, vllm, monkeypatch, fault, kind, says):
    monkeypatch.setattr(vllm, "fault", fault)
    with pytest.raises(kind, match=says) as told:
        body(world.context(world.run("vllm")))
    assert "eval.engine=transformers" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_prompt_without_places_and_another_adapter_are_refused_before_the_start(
    base_folder, adapter_folder, tmp_path
):
    def check(lora, longest):
        engine_vllm._check(
            engine_vllm.VllmSettings(base_folder, adapter_folder, lora, "fp32", longest, tmp_path)
        )

    check(LORA, 1024)
    with pytest.raises(ConfigError, match=r"up to 1025 tokens, and the base reads 1024"):
        check(LORA, 1025)
    with pytest.raises(DataError, match="says r = '2' where the run has '8'"):
        check(LORA.model_copy(update={"r": 8}), 1024)


def test_compiled_code_lies_in_the_cache_or_in_the_scratch_folder(tmp_path):
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    assert compiled_cache(cache, scratch) == cache / "compiled"
    file = tmp_path / "file"
    file.touch()
    assert compiled_cache(file, scratch) == scratch / "compiled"


def test_a_choice_is_read_back_as_it_was_stored(world):
    run = world.run()
    body(world.context(run))
    key = engine_key(run.id)
    kept = decode(EngineChoice, world.store.read(key), key)
    assert (kept.engine, kept.answer_rows) == ("transformers", 3)


def fast_here(model, _precision):
    return TransformersScoring(model, 3), "an attention"


def test_what_scored_the_labels_is_said_and_kept(world, monkeypatch):
    run = world.run()
    monkeypatch.setattr(scoring, "fast_scoring", fast_here)
    manifest = body(world.context(run))
    assert manifest.hardware["scoring"] == "fast layers; attention: an attention"
    assert manifest.decoding["scoring"] == "fast"
    monkeypatch.undo()
    with pytest.raises(SetupError, match="begun with the fast layers"):
        body(world.context(run, "again"))
    plain = world.run("transformers")
    first = body(world.context(plain, "plain"))
    monkeypatch.setattr(scoring, "fast_scoring", fast_here)
    assert body(world.context(plain, "more")).files == first.files


def test_of_two_that_choose_at_once_both_score_as_the_first(world, monkeypatch):
    loads, real = [], loaded.load
    monkeypatch.setattr(scoring, "fast_scoring", fast_here)
    monkeypatch.setattr(loaded, "load", lambda *args: loads.append(1) or real(*args))

    def other_was_first(store, run_id, here):
        made = here()
        store.create(
            engine_key(run_id), encode(made.model_copy(update={"scoring": "transformers"}))
        )
        return engine.settled(store, run_id, lambda: made)

    monkeypatch.setattr(loaded, "settled", other_was_first)
    manifest = body(world.context(world.run()))
    assert manifest.decoding["scoring"] == "transformers"
    assert len(loads) == 2


def test_a_prompt_too_long_for_the_base_is_told_of_before_anything_is_computed(
    world, vllm, monkeypatch
):
    monkeypatch.setattr(scoring, "label_logp", lambda *_: pytest.fail("scored"))

    def longer(**given):
        return engine_vllm.VllmSettings(**{**given, "longest": 1 << 20})

    monkeypatch.setattr(variant, "VllmSettings", longer)
    with pytest.raises(ConfigError, match="take up to 1048576 tokens"):
        body(world.context(world.run("vllm")))
    assert vllm.asked == []


def test_the_model_that_scored_is_gone_when_vllm_takes_the_card(world, vllm, monkeypatch):
    models, alive, real, start = [], [], loaded.load, vllm.__init__

    def load(*given):
        found = real(*given)
        models.append(weakref.ref(found))
        return found

    def init(self, **arguments):
        alive.append([model() is not None for model in models])
        start(self, **arguments)

    monkeypatch.setattr(loaded, "load", load)
    monkeypatch.setattr(vllm, "__init__", init)
    body(world.context(world.run("vllm")))
    assert alive == [[False]]


def test_vllm_is_told_where_answers_end(
    vllm, base_folder, adapter_folder, tokenizer, tmp_path, monkeypatch
):
    prompts = [
        Prompt(row, one.prompt_ids, one.answer_ids)
        for row in map(example, range(4))
        for one in render_all(MODEL, tokenizer, [row], 4096)
    ]
    model = load(base_folder, adapter_folder, torch.device("cpu"), torch.float32, LORA)
    with active(model, "base") as base:
        lines = greedy_ids(base, [prompt.prompt_ids for prompt in prompts], Decoding((), 14))
    decoding = Decoding((lines[0][5], lines[1][7]), 14)
    settings = engine_vllm.VllmSettings(
        base_folder, adapter_folder, LORA, "fp32", 1024, tmp_path / "cache"
    )
    plans, real = [], vllm.generate
    monkeypatch.setattr(
        vllm,
        "generate",
        lambda self, asked, params, **more: (
            plans.extend(params) or real(self, asked, params, **more)
        ),
    )
    found, _ = engine_vllm.VllmEngine(settings, tokenizer, decoding).answers("base", prompts)
    assert {tuple(plan.stop_token_ids) for plan in plans} == {decoding.stop_ids}
    wanted, _ = TransformersEngine(model, tokenizer, decoding).answers("base", prompts)
    assert found == wanted
    assert not any(answer.truncated for answer in found[:2])
