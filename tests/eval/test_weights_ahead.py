"""Weights come in the order of their files with the files' own bytes, a few at a time, and a torn file is told of."""

from __future__ import annotations

import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

from fingpt.eval import weights_ahead as ahead
from fingpt.eval.weights_ahead import weights_ahead

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Three files of 5, 4 and 3 tensors, among them an empty one, one number, and one of several pieces."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    shapes = [(3, 5), (0, 4), (), (7,), (40, 30)]
    for number in range(3):
        tensors = {
            f"file{number}.{index}": torch.randn(shape).to(torch.bfloat16)
            for index, shape in enumerate(shapes[number:])
        }
        save_file(tensors, folder / f"model-{number}.safetensors")
    return folder


def test_they_are_the_files_tensors_in_the_files_order(base):
    found = list(weights_ahead(base, CPU))
    wanted = {}
    for path in sorted(base.glob("*.safetensors")):
        wanted |= load_file(path)
    assert [name for name, _ in found] == sorted(wanted)
    for name, tensor in found:
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, wanted[name]), name


def test_no_more_are_read_than_may_be_underway(base, monkeypatch):
    begun = []
    read = ahead._Carry.read

    def counted(self, path, name):
        begun.append(name)
        return read(self, path, name)

    monkeypatch.setattr(ahead._Carry, "read", counted)
    for taken, _ in enumerate(weights_ahead(base, CPU)):
        assert len(begun) <= taken + 1 + ahead._READERS
    assert len(begun) == 12


def test_who_stops_early_leaves_no_thread_behind(base):
    some = weights_ahead(base, CPU)
    next(some)
    assert any(thread.name.startswith("weights") for thread in threading.enumerate())
    some.close()
    assert not any(thread.name.startswith("weights") for thread in threading.enumerate())


def test_a_file_that_is_torn_is_told_of_where_its_tensors_are_taken(base, tmp_path):
    for path in base.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    last = tmp_path / "model-2.safetensors"
    last.write_bytes(last.read_bytes()[:-8])
    taken: list[str] = []
    with pytest.raises(Exception, match=r"(?i)safetensor|metadata|buffer"):
        taken.extend(name for name, _ in weights_ahead(tmp_path, CPU))
    assert len(taken) >= 5
