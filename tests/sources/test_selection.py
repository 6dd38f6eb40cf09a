from __future__ import annotations

from pathlib import Path

import pytest

from fingpt.errors import ConfigError, MissingInputError
from fingpt.sources.records import Kind
from fingpt.sources.selection import load_selection, parse_selection


def load(tmp_path: Path, text: str, data: str = ""):
    path = tmp_path / "sources.yaml"
    path.write_text(text, encoding="utf-8")
    return load_selection(str(path), data)


def test_without_a_file_all_comes_from_the_folder_of_data() -> None:
    selection = load_selection("", "mydata")
    assert selection.sources["files"].folder == "mydata"
    assert selection.kinds_of("files", frozenset(Kind)) == frozenset(Kind)
    assert selection.allow_missing == ()


def test_a_file_names_sources_kinds_and_what_may_be_missing(tmp_path: Path) -> None:
    text = """
sources:
  files: {kinds: [price, action]}
  edgar: {kinds: [fundamentals], settings: {contact: me@example.com}}
  other: {}
allow_missing: [news]
features: {news: false}
"""
    selection = load(tmp_path, text, data="mydata")
    assert selection.sources["files"].folder == "mydata"
    assert selection.sources["edgar"].settings == {"contact": "me@example.com"}
    assert selection.allow_missing == (Kind.NEWS,)
    assert selection.features == {"news": False}
    able = frozenset({Kind.NEWS, Kind.PRICE, Kind.FUNDAMENTALS})
    assert selection.kinds_of("other", able) == {Kind.NEWS}


def test_a_file_that_says_nothing_of_sources_takes_the_folder_of_data(tmp_path: Path) -> None:
    selection = load(tmp_path, "features: {weeks: 4}\n", data="mydata")
    assert list(selection.sources) == ["files"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sorces: {}", "did you mean 'sources'"),
        (
            "sources: {edgar: {kinds: [filings]}}",
            "sources.edgar.kinds.0: 'filings' is no kind; known: action",
        ),
        ("sources: {edgar: {kinds: [prices]}}", "'prices' is no kind; did you mean 'price'?"),
        (
            "sources: {edgar: {kinds: price}}",
            "sources.edgar.kinds is no list; write it in brackets, as [price",
        ),
        (
            "sources: {edgar: {kind: [price]}}",
            "sources.edgar.kind is no setting; did you mean 'kinds'?",
        ),
        ("sources: {files: {folder: 5}}", "sources.files.folder is no text"),
        (
            "sources: {edgar: }",
            "sources.edgar holds no settings by name; write them as {kinds: [price]}, or {}",
        ),
        ("sources: {edgar: {settings: x}}", "sources.edgar.settings holds no settings by name"),
        ("allow_missing: news", "allow_missing is no list"),
        ("features: 3", "features holds no settings by name"),
        ("sources: {edgar: {folder: x}}", "only files has a folder"),
        ("sources: {files: {settings: {a: 1}}}", "folder.yaml"),
        ("sources: {files: {}}", "sources.files.folder, or DATA"),
        ("sources: {}", "names no source"),
        ("sources: [files]", "sources holds no settings by name; write them as files: {folder"),
        ("allow_missing: [prices]", "allow_missing.0: 'prices' is no kind; did you mean 'price'?"),
        ("- a", "must hold settings"),
        ("a: [", "is not plain YAML"),
    ],
)
def test_a_wrong_file_is_answered_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    data = "mydata" if "files: {settings" in text or "allow" in text else ""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, data)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"SOURCES={tmp_path}")


@pytest.mark.parametrize("choice", ["{key: s3cret}", "{settings: {API_Key: s3cret}}"])
def test_a_key_in_the_file_is_told_where_keys_belong_and_not_repeated(
    tmp_path: Path, choice: str
) -> None:
    with pytest.raises(ConfigError, match="set FINGPT_TIINGO_KEY, or FINGPT_TIINGO_KEY_FILE") as at:
        load(tmp_path, f"sources: {{tiingo: {choice}}}")
    assert "s3cret" not in str(at.value)
    with pytest.raises(ConfigError, match="set FINGPT_<SOURCE>_KEY, or FINGPT_<SOURCE>_KEY_FILE"):
        load(tmp_path, "tiingo_key: s3cret")


def test_no_source_and_no_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATA=folder"):
        load_selection("", " ")
    with pytest.raises(MissingInputError, match="is no file"):
        load_selection(str(tmp_path / "none.yaml"), "")


def test_a_source_is_not_asked_for_what_it_has_not() -> None:
    selection = parse_selection({"sources": {"edgar": {"kinds": ["price"]}}}, "here")
    with pytest.raises(ConfigError, match="edgar has no price; it has fundamentals"):
        selection.kinds_of("edgar", frozenset({Kind.FUNDAMENTALS}))


def test_a_selection_knows_the_file_that_messages_name() -> None:
    found = parse_selection({"features": {"weeks": 4}}, "SOURCES=mine.yaml", "data")
    assert found.where == "SOURCES=mine.yaml"
    assert found.model_copy(update={"allow_missing": ()}).where == "SOURCES=mine.yaml"
    assert "where" not in found.model_dump()
