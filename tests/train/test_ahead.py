"""What a trainer does before it has a task."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from fingpt.errors import Interrupted
from fingpt.train import ahead
from fingpt.train.handoff import write_task
from fingpt.train.launch import trainer_result
from tests.train.test_launch import task


@pytest.fixture
def importing(monkeypatch):
    """The trainer's imports in the tests' process, from which nothing is kept away."""
    monkeypatch.setattr(ahead, "_LEFT_OUT", ())
    monkeypatch.setattr(ahead, "_wake_driver", lambda: None)
    monkeypatch.setattr(ahead, "_name_triton", lambda: None)


@pytest.mark.usefixtures("importing")
def test_a_trainer_imports_while_it_waits_and_reads_the_task_when_it_is_whole(
    tmp_path, monkeypatch
):
    made, imported, collecting = task(tmp_path), [], []

    def taken(name):
        imported.append(name)
        collecting.append(gc.isenabled())

    monkeypatch.setattr(ahead.importlib, "import_module", taken)
    monkeypatch.setattr(ahead.Ahead, "weights", lambda _, read: imported.append(read))
    early = ahead.Ahead(made.path)
    waiting = threading.Thread(target=early.import_and_wait, daemon=True)
    waiting.start()
    made.path.with_suffix(".part").write_bytes(b"{")
    waiting.join(0.2)
    assert waiting.is_alive()
    assert imported[:3] == ["torch", "fingpt.train.read_ahead", "fingpt.train.session"]
    assert made not in imported
    assert not any(collecting)
    write_task(made)
    waiting.join(10)
    assert imported[-1] == made
    assert gc.isenabled()


@pytest.mark.usefixtures("importing")
def test_what_fast_layers_need_is_imported_where_there_is_a_gpu(tmp_path, monkeypatch):
    made, imported = task(tmp_path), []
    monkeypatch.setattr(ahead, "_gpu", lambda: True)
    monkeypatch.setattr(ahead.importlib, "import_module", imported.append)
    monkeypatch.setattr(ahead.Ahead, "weights", lambda *_: None)
    write_task(made)
    ahead.Ahead(made.path).import_and_wait()
    assert imported[-2:] == ["triton", "cudnn"]


def test_libraries_that_a_training_does_not_need_are_not_found_by_those_that_look_for_them(
    tmp_path, monkeypatch
):
    for name in ("stranger", "loaded"):
        (tmp_path / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ahead, "_LEFT_OUT", ("stranger", "loaded"))
    monkeypatch.setitem(sys.modules, "stranger", None)  # to be forgotten afterwards
    del sys.modules["stranger"]
    loaded = importlib.import_module("loaded")
    assert importlib.util.find_spec("stranger")
    ahead.leave_out()
    assert importlib.util.find_spec("stranger") is None
    assert sys.modules.pop("loaded") is loaded


def test_the_driver_is_started_where_there_is_one(monkeypatch):
    started = []
    driver = SimpleNamespace(cuInit=started.append)
    monkeypatch.setattr(ahead.ctypes, "CDLL", {"libcuda.so.1": driver}.__getitem__)
    ahead._wake_driver()
    assert started == [0]


def test_a_machine_without_a_driver_is_none_to_complain_about(monkeypatch):
    monkeypatch.setattr(ahead, "_DRIVER", "libno-such-driver.so.1")
    ahead._wake_driver()


@pytest.mark.parametrize("known", [True, False])
def test_triton_is_named_where_it_is_imported_and_still_has_that_name(monkeypatch, known):
    named: list[str] = []
    parts = {"triton_key": lambda: named.append("key")} if known else {}
    monkeypatch.setitem(sys.modules, "triton.runtime.cache", SimpleNamespace(**parts))
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    ahead._name_triton()
    assert named == []
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace())
    ahead._name_triton()
    assert named == ["key"] * known


def test_the_collector_leaves_what_was_imported_alone_and_comes_back_after_a_fault():
    before = gc.get_freeze_count()
    try:
        with suppress(ImportError), ahead._without_collector():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


@pytest.mark.usefixtures("importing")
def test_a_stop_during_the_imports_ends_the_trainer_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead.Ahead, "weights", lambda *_: None)
    made, ended, over = task(tmp_path), [], threading.Event()
    monkeypatch.setattr(ahead.importlib, "import_module", lambda _: over.wait(10))

    def leave(code):
        ended.append(code)
        over.set()

    monkeypatch.setattr(ahead.os, "_exit", leave)
    write_task(made)
    made.stop.touch()
    ahead.Ahead(made.path).import_and_wait()
    assert set(ended) == {Interrupted.exit_code}
    with pytest.raises(Interrupted, match="before the first step"):
        trainer_result(made, ended[0])


@pytest.mark.usefixtures("importing")
def test_weights_are_read_once_their_libraries_are_imported_and_before_the_others(
    tmp_path, monkeypatch
):
    done, started = [], threading.Event()
    names = {"torch": 0.2, "fingpt.train.session": None}

    def imported(name):
        if name in names:
            started.wait(names[name] or 10)
        done.append(name)

    monkeypatch.setattr(ahead.importlib, "import_module", imported)
    monkeypatch.setattr(ahead.Ahead, "weights", lambda *_: done.append("weights") or started.set())
    made = task(tmp_path)
    write_task(made)
    ahead.Ahead(made.path).import_and_wait()
    assert done[:4] == ["torch", "fingpt.train.read_ahead", "weights", "fingpt.train.session"]
