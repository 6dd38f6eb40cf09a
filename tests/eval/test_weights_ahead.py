"""Weights come in the order of their files with the files' own bytes, a few at a time, and faults are told of."""

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


def test_a_fault_of_a_reader_is_raised_where_its_tensor_is_taken(base, monkeypatch):
    read = ahead._Carry.read

    def faulty(self, path, name):
        if name == "file1.2":
            raise OSError("the disk is gone")
        return read(self, path, name)

    monkeypatch.setattr(ahead._Carry, "read", faulty)
    taken: list[str] = []
    with pytest.raises(OSError, match="the disk is gone"):
        taken.extend(name for name, _ in weights_ahead(base, CPU))
    assert taken == [*(f"file0.{index}" for index in range(5)), "file1.0", "file1.1"]
