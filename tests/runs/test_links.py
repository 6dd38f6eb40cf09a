"""Records and files are held against what names them, each as one link."""

from __future__ import annotations

import pytest

from fingpt.errors import NoSpaceError
from fingpt.record import FileRef
from fingpt.runs import links as module
from fingpt.runs.links import Link, Links, LinkStatus
from fingpt.runs.manifest import BaseManifest, encode
from fingpt.storage import put
from tests.full_disk import full_disk

KEY = "base/manifest.json"


@pytest.fixture
def links(store) -> Links:
    return Links(store, lambda _: None)


@pytest.fixture
def file(store) -> FileRef:
    return put(store, "base/model.safetensors", b"weights")


def statuses(links) -> list[tuple[str, LinkStatus]]:
    return [(link.key, link.status) for link in links.links]


def test_a_record_is_read_and_its_hash_is_known_to_those_that_name_it(links, store, file):
    manifest = BaseManifest(base="b", revision="r", files=(file,))
    ref = put(store, KEY, encode(manifest))
    assert links.read(KEY, BaseManifest, "gone") == manifest
    links.check_inputs("report", {KEY: ref.sha256})
    assert statuses(links) == [(KEY, LinkStatus.OK)]
    links.check_inputs("report", {KEY: "0" * 64, "other": ref.sha256})
    assert statuses(links)[1:] == [(KEY, LinkStatus.DAMAGED), ("other", LinkStatus.MISSING)]


def test_a_record_with_the_same_content_in_other_bytes_is_damaged(links, store, file):
    data = encode(BaseManifest(base="b", revision="r", files=(file,)))
    store.create(KEY, data.replace(b'":', b'": ', 1))
    links.read(KEY, BaseManifest, "gone")
    assert statuses(links) == [(KEY, LinkStatus.DAMAGED)]


def test_a_record_that_is_gone_says_what_that_means(links):
    assert links.read(KEY, BaseManifest, "it was removed") is None
    assert links.links == [Link(KEY, LinkStatus.MISSING, "it was removed")]


def test_a_record_that_is_far_too_long_is_damaged_and_not_read(links, store, tmp_path):
    store.create(KEY, b"{}")
    with (tmp_path / "store" / KEY).open("r+b") as sparse:
        sparse.truncate(1 << 40)  # it has no blocks
    assert links.read(KEY, BaseManifest, "gone") is None
    assert statuses(links) == [(KEY, LinkStatus.DAMAGED)]


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
@pytest.mark.parametrize("changed", [b"Weights", b"weights and more"])
def test_a_file_has_the_bytes_that_its_record_names(
    links, file, tmp_path, monkeypatch, in_memory, changed
):
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", in_memory)
    links.check_files("base", [file])
    (tmp_path / "store" / "base" / file.name).write_bytes(changed)
    links.check_files("base", [file])
    key = f"base/{file.name}"
    assert statuses(links) == [(key, LinkStatus.OK), (key, LinkStatus.DAMAGED)]


def test_a_file_that_is_gone_is_missing_unless_it_may_have_been_pruned(links, file, tmp_path):
    (tmp_path / "store" / "base" / file.name).unlink()
    links.check_files("base", [file])
    links.check_files("base", [file], prunable=True)
    assert [link.status for link in links.links] == [LinkStatus.MISSING, LinkStatus.SKIPPED]


def test_a_name_that_leads_out_of_its_folder_is_damage(links, file):
    links.check_files("base", [file.model_copy(update={"name": "../other"})])
    assert statuses(links) == [("base", LinkStatus.DAMAGED)]


def test_what_nothing_rests_on_is_superseded_and_not_damaged(links):
    links.superseding = True
    links.check("a", sound=False, message="it was changed")
    links.check("b", sound=True, message="")
    assert statuses(links) == [("a", LinkStatus.SUPERSEDED), ("b", LinkStatus.OK)]
    assert "it was changed; training went on" in links.links[0].message


def test_a_full_disk_is_no_damage_of_a_file(links, file, monkeypatch):
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", 0)
    with full_disk(), pytest.raises(NoSpaceError):
        links.check_files(
            "base", [FileRef(name="model.safetensors", size=file.size, sha256=file.sha256)]
        )
    assert links.links == []
