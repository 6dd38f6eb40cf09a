"""Products in 8 bits are used where a run's first rows allow it, by whole trainings on a CPU that simulates them."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import Interrupted, SetupError
from fingpt.runs.manifest import Commit, PrecisionGate, decode
from fingpt.runs.run import commit_key
from fingpt.train import gate
from fingpt.train.batching import Batching
from fingpt.train.machine import Machine
from tests.train.test_session import Attempts, after

pytestmark = pytest.mark.usefixtures("torch_as_before")

KINDS = [
    {"gradient_precision": "fp8"},
    {"base_precision": "int8"},
    {"gradient_precision": "fp8", "base_precision": "int8"},
]


@pytest.fixture
def attempt(world) -> Attempts:
    return Attempts(world)


@pytest.fixture
def planted(tmp_path, invent) -> Attempts:
    """A base whose MLPs have inner numbers of very different sizes, which the next product evens out."""
    model = invent.llama()
    with torch.no_grad():
        for name, weight in model.model.layers.named_parameters():
            if "proj" in name:
                weight.mul_(10)  # else layers add next to nothing to what they get
        for layer in model.model.layers:
            sizes = torch.logspace(0, 9, 32)
            layer.mlp.up_proj.weight.mul_(sizes[:, None])
            layer.mlp.down_proj.weight.div_(sizes)
    folder = tmp_path / "planted"
    folder.mkdir()
    model.save_pretrained(folder)
    invent.tokenizer().save_pretrained(folder)
    return Attempts(invent.world(tmp_path, folder))


def other(tmp_path, invent, base_folder) -> Attempts:
    folder = tmp_path / "other"
    folder.mkdir()
    return Attempts(invent.world(folder, base_folder))


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_in_8_bits_says_what_its_first_rows_allowed(attempt, kind):
    summary = attempt(max_steps=2, **kind)
    found = summary.gate
    assert found.passed
    assert 0.97 <= found.cosine < 1
    assert found.rows == 16
    assert (found.loss_change == 0) is ("base_precision" not in kind)
    for name, value in kind.items():
        assert f"train.{name}={value}" in found.sentence
    assert f"cosine with fp32 is {found.cosine:.4f}" in found.sentence
    assert "simulated" in summary.hardware["layers"]


def test_a_training_that_asked_for_nothing_has_measured_nothing(attempt, monkeypatch):
    monkeypatch.setattr(gate, "decide", lambda *_: pytest.fail("measured"))
    assert attempt(max_steps=1).gate is None


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_too_far_apart_for_8_bits_are_trained_without(planted, kind, monkeypatch):
    said = []
    monkeypatch.setattr(gate.log, "warning", lambda what, **fields: said.append(fields["figures"]))
    found = planted(max_steps=2, **kind).gate
    assert not found.passed
    assert found.cosine < 0.97
    assert found.sentence.startswith(f"fp32 instead of train.{next(reversed(kind))}=")
    assert said == [found.sentence]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_in_the_8_bits_that_it_began_with_and_measures_nothing(
    attempt, tmp_path, invent, base_folder, kind, monkeypatch
):
    whole = other(tmp_path, invent, base_folder)
    wanted = whole(**kind)
    with pytest.raises(Interrupted, match="its checkpoint is committed"):
        attempt(after(7), **kind)
    monkeypatch.setattr(gate, "decide", lambda *_: pytest.fail("measured"))
    summary = attempt(**kind)
    assert summary.resumed
    assert summary.gate == wanted.gate
    assert attempt.adapter() == whole.adapter()


def test_a_stopped_run_that_was_refused_8_bits_goes_on_without(planted, monkeypatch):
    kind = {"base_precision": "int8"}
    with pytest.raises(Interrupted, match="its checkpoint is committed"):
        planted(after(7), **kind)
    monkeypatch.setattr(gate, "reduce", lambda *_, **__: pytest.fail("reduced"))
    summary = planted(**kind)
    assert summary.resumed
    assert not summary.gate.passed


def test_every_checkpoint_holds_the_decision(attempt):
    summary = attempt(max_steps=2, gradient_precision="fp8")
    store, run = attempt.world.store, attempt.task.run
    commit = decode(Commit, store.read(commit_key(run.id, 1)), "")
    assert PrecisionGate.model_validate_json(commit.context["gate"]) == summary.gate


def test_measuring_moves_neither_random_numbers_nor_rows(attempt, tmp_path, invent, base_folder):
    """A training that was refused is the one whose layers never were in 8 bits."""
    exact = {"max_steps": 3, "gradient_precision": "fp8"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "LEAST_COSINE", 1.1)
        assert not attempt(**exact).gate.passed
    refused = attempt.adapter()
    twin = other(tmp_path, invent, base_folder)
    unmeasured = PrecisionGate(
        asked="", instead="fp32", passed=False, rows=0, cosine=None, loss_change=None,
        least_cosine=1, most_loss_change=None,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "decide", lambda *_: unmeasured)
        twin(**exact)
    assert refused == twin.adapter()


def judge(loss: float, gradient: list[float], **train) -> PrecisionGate:
    exact = torch.tensor(2.0), torch.tensor([1.0, 0.0])
    eight = torch.tensor(loss), torch.tensor(gradient)
    return gate.judged(exact, eight, TrainConfig(**train), "bf16", 16)


def test_the_bounds_are_a_cosine_of_97_hundredths_and_half_a_percent_of_the_loss():
    def at(cosine: float) -> list[float]:
        return [cosine, math.sqrt(1 - cosine**2)]

    fp8, int8 = {"gradient_precision": "fp8"}, {"base_precision": "int8"}
    assert judge(2.0, at(0.971), **fp8).passed
    assert not judge(2.0, at(0.969), **fp8).passed
    assert judge(2.0, [5.0, 0.0], **fp8).passed  # the length is AdamW's affair
    assert judge(2.0099, at(0.98), **int8).passed
    assert not judge(2.0101, at(0.98), **int8).passed
    assert not judge(1.9899, at(0.98), **int8).passed
    assert not judge(2.0, at(0.969), **int8).passed


@pytest.mark.parametrize("gradient", [[float("nan"), 0.0], [float("inf"), 0.0], [0.0, 0.0]])
def test_what_is_no_number_does_not_pass_and_is_said(gradient):
    found = judge(float("nan"), gradient, gradient_precision="fp8")
    assert not found.passed
    assert "is not finite" in found.sentence


@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_share_the_rows_of_the_first_steps(invent, ranks):
    rows = invent.rows(40)
    batching = Batching(tuple(map(len, rows)), 42, 1, 3, ranks, 48)
    found = [gate.first_packs(batching, rows, rank) for rank in range(ranks)]
    tokens = sum(pack["input_ids"].numel() for packs, _ in found for pack in packs)
    steps = batching.steps(0)[: -(-16 // (3 * ranks))]
    assert tokens == sum(len(rows[index]) for step in steps for index in step)
    assert {count for _, count in found} == {sum(map(len, steps))}
    seeds = [pack["seed"] for packs, _ in found for pack in packs]
    assert len(set(seeds)) == len(seeds)


def machine(**train) -> Machine:
    return Machine(RunConfig(model="llama31", train=train).train, tiny=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_that_is_too_old_is_refused_before_training(kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A100")
    with pytest.raises(SetupError, match="A100 is older than Hopper; leave it out"):
        machine(**kind).check()


def test_a_card_without_triton_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(
        "fingpt.train.fast.choice.obstacle", lambda: "not compiled: Triton is not installed"
    )
    with pytest.raises(SetupError, match="here: Triton is not installed; leave it out"):
        machine(gradient_precision="fp8").check()
    machine().check()


def test_a_base_of_another_family_is_refused(attempt, monkeypatch):
    monkeypatch.setattr("fingpt.train.fast.choice.misfit", lambda *_, **__: "its layers are odd")
    with pytest.raises(SetupError, match="with this base: its layers are odd; leave it out"):
        attempt(gradient_precision="fp8")


def test_the_adapter_of_an_int8_base_has_the_names_and_sizes_of_any_other(attempt):
    attempt(max_steps=1, base_precision="int8")
    eight = load_file(attempt.task.adapter / "adapter_model.safetensors")
    assert eight
    assert all(tensor.dtype == torch.float32 and tensor.numel() for tensor in eight.values())
    assert {name.rsplit(".", 2)[1] for name in eight} == {"lora_A", "lora_B"}
    save_file(eight, attempt.task.folder / "again.safetensors")
