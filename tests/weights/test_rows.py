"""Rows of the hub: brought once by a mirror, pinned to a commit, frozen like others, and never asked for again."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt import log
from fingpt.config import PrepConfig, RunConfig
from fingpt.errors import (
    ConfigError,
    DataError,
    MissingInputError,
    StorageError,
    TransientError,
)
from fingpt.prep.source import read_rows
from fingpt.runs.freeze import freeze_source
from fingpt.runs.raw import read_hub_rows
from fingpt.storage import open_store
from fingpt.weights.hub import Hub
from fingpt.weights.rows import mirror_rows
from tests.hub_server import HubServer, serving, sha256

NAME, COMMIT, LATER = "owner/rows", "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """The hub's client may make requests, to loopback and past any proxy."""
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    close_session()
    yield
    close_session()


def table(*answers: str) -> bytes:
    columns = ("prompt", "answer", "period", "label", "symbol")
    rows = [dict.fromkeys(columns, "x") | {"answer": answer} for answer in answers]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


FILES = {
    ".gitattributes": b"",
    "README.md": b"---\n---\n",
    "data/train-00000-of-00002.parquet": table("a", "b"),
    "data/train-00001-of-00002.parquet": table("c"),
    "data/test-00000-of-00001.parquet": table("d"),
}


@pytest.fixture
def server():
    with serving(HubServer(NAME, COMMIT, dict(FILES), kind="datasets", branch="main")) as hub:
        yield hub


def config(source, model="llama31"):
    return RunConfig(model=model, prep=PrepConfig(source=source))


def answers(store, frozen, tmp_path):
    return [row.values["answer"] for row in read_rows(frozen, store, tmp_path / "scratch")]


def test_rows_are_brought_and_then_read_without_the_hub(store, server, tmp_path):
    rows = mirror_rows(store, f"hub:{NAME}", Hub(endpoint=server.url))
    assert (rows.commit, rows.source) == (COMMIT, f"hub:{NAME}@main")
    assert {file.name: file.sha256 for file in rows.files} == {
        name: sha256(data) for name, data in FILES.items() if name.startswith("data/")
    }
    assert not server.asked("GET", "README|gitattributes")
    server.requests.clear()
    spellings = (f"hub:{NAME}", f"hub:{NAME}@main", f"hub:{NAME}@{COMMIT}")
    frozen = {freeze_source(store, config(each)).prep.source for each in spellings}
    assert frozen == {rows.raw}
    assert answers(store, rows.raw, tmp_path) == ["a", "b", "c", "d"]
    assert server.requests == []


def test_a_folder_of_a_commit_is_a_source_of_its_own(store, server, tmp_path):
    server.files = {
        **FILES,
        "train/data-00000-of-00001.arrow": b"an older copy of the rows",
        "de/train.jsonl": b"{}\n",
        "data-old/train.jsonl": b"{}\n",
    }
    hub = Hub(endpoint=server.url)
    with pytest.raises(DataError, match="sources of split train"):
        mirror_rows(store, f"hub:{NAME}@{COMMIT}", hub)
    pinned = f"hub:{NAME}@{COMMIT}/data"
    rows = mirror_rows(store, pinned, hub)
    assert (rows.commit, rows.source, rows.pinned) == (COMMIT, pinned, pinned)
    assert [file.name for file in rows.files] == sorted(
        (name for name in FILES if name.startswith("data/")), key=lambda name: "test" in name
    )
    other = mirror_rows(store, f"hub:{NAME}@{COMMIT}/de/", hub)
    server.requests.clear()
    for source, raw in ((pinned, rows.raw), (f"{pinned}/", rows.raw), (other.source, other.raw)):
        assert freeze_source(store, config(source)).prep.source == raw
        assert mirror_rows(store, source, hub).raw == raw
    assert rows.raw != other.raw
    assert answers(store, rows.raw, tmp_path) == ["a", "b", "c", "d"]
    assert server.requests == []


def test_a_folder_that_a_commit_lacks_holds_no_rows_and_a_branch_has_no_folder(store, server):
    hub = Hub(endpoint=server.url)
    with pytest.raises(MissingInputError, match=f"@{COMMIT}/elsewhere holds no rows, only nothing"):
        mirror_rows(store, f"hub:{NAME}@{COMMIT}/elsewhere", hub)
    with pytest.raises(MissingInputError, match="no commit main/data"):
        mirror_rows(store, f"hub:{NAME}@main/data", hub)


def test_a_mirror_says_the_commit_and_the_name_that_means_it_in_every_store(
    store, server, tmp_path, capsys
):
    log.setup()
    first = mirror_rows(store, f"hub:{NAME}", Hub(endpoint=server.url))
    mirror_rows(store, f"hub:{NAME}@main", Hub(endpoint=server.url))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    said = [line for line in lines if "pin" in line]
    assert [line["event"] for line in said] == ["rows stored", "rows already in the store"]
    for line in said:
        assert (line["commit"], line["pin"]) == (COMMIT, f"DATA=hub:{NAME}@{COMMIT}")
    # Followed in another store, after the branch has moved, it brings the very same rows.
    server.branch = "trunk"
    elsewhere = open_store((tmp_path / "elsewhere").as_uri())
    pinned = said[0]["pin"].removeprefix("DATA=")
    assert mirror_rows(elsewhere, pinned, Hub(endpoint=server.url)).raw == first.raw


def test_rows_of_the_hub_and_the_same_rows_in_a_folder_are_one_source(store, server, tmp_path):
    rows = mirror_rows(store, f"hub:{NAME}@{COMMIT}", Hub(endpoint=server.url))
    for name, data in FILES.items():
        path = tmp_path / "download" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert freeze_source(store, config(str(tmp_path / "download"))).prep.source == rows.raw


def test_a_branch_that_moved_means_what_it_meant_at_the_first_mirror(store, server, tmp_path):
    hub = Hub(endpoint=server.url)
    first = mirror_rows(store, f"hub:{NAME}", hub)
    server.commit = LATER
    server.files["data/test-00000-of-00001.parquet"] = table("e")
    server.requests.clear()
    assert mirror_rows(store, f"hub:{NAME}", hub) == first
    assert server.requests == []
    second = mirror_rows(store, f"hub:{NAME}@{LATER}", hub)
    assert freeze_source(store, config(f"hub:{NAME}")).prep.source == first.raw != second.raw
    assert answers(store, second.raw, tmp_path) == ["a", "b", "c", "e"]


def test_rows_that_were_removed_are_brought_again_at_the_commit_that_was_recorded(
    store, server, tmp_path
):
    hub = Hub(endpoint=server.url)
    first = mirror_rows(store, f"hub:{NAME}", hub)
    (tmp_path / "store" / first.raw / "manifest.json").unlink()
    with pytest.raises(MissingInputError, match=f"make mirror MODEL=llama31 DATA=hub:{NAME}"):
        freeze_source(store, config(f"hub:{NAME}"))
    assert mirror_rows(store, f"hub:{NAME}", hub) == first
    assert server.asked("GET", f"revision/{COMMIT}")


def test_of_two_mirrors_at_once_the_first_says_what_a_name_means(store, server, monkeypatch):
    hub = Hub(endpoint=server.url)
    other = Hub(endpoint=server.url)
    inside = hub.resolve

    def overtaken(repo):
        found = inside(repo)
        mirror_rows(store, f"hub:{NAME}", other)
        server.commit = LATER
        return LATER, found[1]

    monkeypatch.setattr(hub, "resolve", overtaken)
    assert mirror_rows(store, f"hub:{NAME}", hub).commit == COMMIT
    assert read_hub_rows(store, f"hub:{NAME}").commit == COMMIT


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"repo": "other/rows"}, MissingInputError, "has no data set owner/rows"),
        ({"branch": "trunk"}, MissingInputError, "no commit main"),
        ({"status": 503}, TransientError, "answered 503"),
        ({"files": {"README.md": b"x"}}, MissingInputError, "holds no rows, only README.md"),
        ({"files": {**FILES, "more.parquet": table("x")}}, DataError, "not be read: more"),
        (
            {"files": {**FILES, "train.jsonl": b'{"answer": 1, "label": 2}'}},
            DataError,
            "2 sources of split train",
        ),
        ({"files": {"train.jsonl": json.dumps({"a": 1}).encode("utf-16")}}, DataError, "UTF-16"),
        (
            {"served": {"data/test-00000-of-00001.parquet": table("y")}},
            StorageError,
            "other bytes than the hub announces",
        ),
    ],
)
def test_what_cannot_be_brought_is_one_sentence_and_is_not_recorded(
    store, server, change, kind, said
):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(kind, match=said):
        mirror_rows(store, f"hub:{NAME}", Hub(endpoint=server.url))
    assert [key for key in store.keys("") if key.startswith("sources/")] == []


def test_a_name_that_is_none_is_a_configuration_error(store, server):
    with pytest.raises(ConfigError, match="owner/name@revision"):
        mirror_rows(store, "hub:rows", Hub(endpoint=server.url))
    assert server.requests == []
