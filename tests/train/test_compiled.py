from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fingpt.train import compiled


class Layer:
    def __init__(self) -> None:
        self.compiled: list[dict[str, bool]] = []

    def compile(self, **options: bool) -> None:
        self.compiled.append(options)


@pytest.fixture
def model():
    layers, embeddings = [Layer(), Layer()], torch.nn.Embedding(3, 2).requires_grad_(False)
    base = SimpleNamespace(model=SimpleNamespace(layers=layers))
    return SimpleNamespace(
        layers=layers, get_base_model=lambda: base, get_input_embeddings=lambda: embeddings
    )


@pytest.fixture
def able(monkeypatch):
    """A machine on which nothing speaks against compiling."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    spec = SimpleNamespace(origin=None)
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(compiled.shutil, "which", lambda name: name == "gcc")
    return monkeypatch


def test_every_layer_is_compiled_for_any_length_and_tried(able, model):
    tried = []
    assert compiled.compile_layers(model, lambda: tried.append(1)) == "compiled by torch.compile"
    assert [layer.compiled for layer in model.layers] == [[{"dynamic": True}]] * 2
    assert tried == [1]


def test_the_first_layer_is_like_the_others_to_the_compiler(able, model):
    compiled.compile_layers(model, lambda: None)
    ids = torch.tensor([1])
    assert model.get_input_embeddings()(ids).requires_grad
    with torch.no_grad():
        assert not model.get_input_embeddings()(ids).requires_grad


@pytest.mark.parametrize(
    ("what", "value", "reason"),
    [
        ("torch.cuda.is_available", lambda: False, "no GPU"),
        ("torch.cuda.get_device_capability", lambda: (7, 5), "older than Ampere"),
        ("fingpt.train.compiled.importlib.util.find_spec", lambda _: None, "Triton"),
        ("fingpt.train.compiled.shutil.which", lambda _: None, "C compiler"),
    ],
)
def test_a_machine_that_cannot_compile_says_why(able, what, value, reason):
    assert compiled.obstacle() == ""
    able.setattr(what, value)
    assert compiled.obstacle().startswith("not compiled: ")
    assert reason in compiled.obstacle()


@pytest.mark.parametrize("fault", [RuntimeError("no\nlibcuda"), OSError("no libcuda")])
def test_a_compiler_that_fails_leaves_the_layers_as_they_were_and_says_so_once(able, model, fault):
    said, stances = [], []
    able.setattr(compiled.log, "warning", lambda sentence, **fields: said.append(fields["reason"]))
    able.setattr(torch.compiler, "set_stance", stances.append)

    def attempt() -> None:
        raise fault

    assert compiled.compile_layers(model, attempt) == "not compiled: no libcuda"
    assert said == ["no libcuda"]
    assert stances == ["force_eager"]


def test_a_full_memory_is_no_fault_of_the_compiler(able, model):
    def attempt() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        compiled.compile_layers(model, attempt)
