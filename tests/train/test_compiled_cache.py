from __future__ import annotations

import json
import os

import pytest

from fingpt.train import compiled_cache
from fingpt.train.compiled_cache import compiled_folder, described


def driver(folder, version="580.159.04", cards=("NVIDIA H100 80GB HBM3",)):
    (folder / "gpus").mkdir(parents=True)
    (folder / "version").write_text(
        f"NVRM version: NVIDIA UNIX x86_64  {version}  Tue\nGCC version: 12\n"
    )
    for number, card in enumerate(cards):
        (folder / "gpus" / f"0000:{number}").mkdir()
        (folder / "gpus" / f"0000:{number}" / "information").write_text(
            f"Model: \t\t {card}\nIRQ: 1\n"
        )
    return folder


def test_the_second_start_on_the_same_machine_finds_what_the_first_compiled(tmp_path):
    here = driver(tmp_path / "proc")
    first = compiled_folder(tmp_path / "cache", tmp_path / "one", here)
    (first / "kernel").write_bytes(b"code")
    second = compiled_folder(tmp_path / "cache", tmp_path / "two", here)
    assert (second / "kernel").read_bytes() == b"code"
    assert first.is_relative_to(tmp_path / "cache")
    about = json.loads((first / "about.json").read_bytes())
    assert about["cards"] == "NVIDIA H100 80GB HBM3"
    assert "580.159.04" in about["driver"]


def test_another_driver_card_or_version_has_a_folder_of_its_own(tmp_path, monkeypatch):
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    found = [compiled_folder(cache, scratch, driver(tmp_path / "a"))]
    found.append(compiled_folder(cache, scratch, driver(tmp_path / "b", version="590.1")))
    found.append(compiled_folder(cache, scratch, driver(tmp_path / "c", cards=("NVIDIA H200",))))
    monkeypatch.setattr(compiled_cache.metadata, "version", lambda name: f"{name} 99")
    found.append(compiled_folder(cache, scratch, tmp_path / "a"))
    assert len(set(found)) == 4


def test_eight_cards_of_one_kind_share_the_folder_of_one(tmp_path):
    many = driver(tmp_path / "many", cards=("NVIDIA H100 80GB HBM3",) * 8)
    assert described(many) == described(driver(tmp_path / "one"))


def test_a_machine_without_a_driver_keeps_nothing(tmp_path):
    found = compiled_folder(tmp_path / "cache", tmp_path / "scratch", tmp_path / "none")
    assert found == tmp_path / "scratch" / "compiled"
    assert not (tmp_path / "cache").exists()


def open_to_all(folder):
    folder.chmod(0o777)


def replaced_by_a_file(folder):
    (folder / "about.json").unlink()
    folder.rmdir()
    folder.write_bytes(b"")


def replaced_by_a_link(folder):
    (folder / "about.json").unlink()
    folder.rmdir()
    other = folder.parent / "other"
    other.mkdir(mode=0o700)
    folder.symlink_to(other)


@pytest.mark.parametrize("spoil", [open_to_all, replaced_by_a_file, replaced_by_a_link])
def test_code_that_others_could_have_put_there_is_not_run(tmp_path, spoil, monkeypatch):
    said = []
    monkeypatch.setattr(
        compiled_cache.log, "warning", lambda text, **more: said.append((text, more))
    )
    here = driver(tmp_path / "proc")
    spoil(compiled_folder(tmp_path / "cache", tmp_path / "scratch", here))
    found = compiled_folder(tmp_path / "cache", tmp_path / "scratch", here)
    assert found == tmp_path / "scratch" / "compiled"
    assert [text for text, _ in said] == ["compiled code is not kept for later runs"]
    assert said[0][1]["reason"] in {"everybody can write to it", "it is no folder", "File exists"}


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    here = driver(tmp_path / "proc")
    compiled_folder(tmp_path / "cache", tmp_path / "scratch", here)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    found = compiled_folder(tmp_path / "cache", tmp_path / "scratch", here)
    assert found.is_relative_to(tmp_path / "scratch")
