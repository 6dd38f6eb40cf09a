from __future__ import annotations

import hashlib
import sys
from types import ModuleType, SimpleNamespace

import pytest

from fingpt.train import compiled, triton_driver

SOURCE = b"int cuda;\n"


@pytest.fixture
def image(monkeypatch, tmp_path):
    """An environment with a Triton of that source; returns where the image's module would be."""
    package = tmp_path / "site" / "triton"
    (package / "backends" / "nvidia").mkdir(parents=True)
    (package / "backends" / "nvidia" / "driver.c").write_bytes(SOURCE)
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(triton_driver.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(triton_driver.sys, "prefix", str(tmp_path))
    folder = tmp_path / triton_driver.FOLDER
    folder.mkdir()
    return folder / f"{hashlib.sha256(SOURCE).hexdigest()}.so"


def test_the_module_is_that_of_the_installed_version(image):
    assert triton_driver.prebuilt() is None
    image.with_name("another.so").touch()
    assert triton_driver.prebuilt() is None
    image.touch()
    assert triton_driver.prebuilt() == image


def test_a_machine_without_triton_has_no_module(monkeypatch):
    monkeypatch.setattr(triton_driver.importlib.util, "find_spec", lambda name: None)
    assert triton_driver.prebuilt() is None


def test_a_module_stands_in_for_a_compiler(image, monkeypatch):
    monkeypatch.setattr(compiled.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(compiled.torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    assert "C compiler" in compiled.obstacle()
    image.touch()
    assert compiled.obstacle() == ""


def test_triton_is_given_its_own_module_and_no_other(monkeypatch, tmp_path):
    triton = ModuleType("triton")
    triton.knobs = SimpleNamespace(build=SimpleNamespace(impl=None))
    monkeypatch.setitem(sys.modules, "triton", triton)
    triton_driver.use(tmp_path / "driver.so")
    build = triton.knobs.build.impl
    assert build("cuda_utils", "source", "folder", [], [], []) == str(tmp_path / "driver.so")
    with pytest.raises(RuntimeError, match="wants to compile launcher"):
        build("launcher", "source", "folder", [], [], [])
