"""JSON and YAML that others wrote: bounded, plain, one sentence for each fault."""

from __future__ import annotations

import pytest

from fingpt.errors import DataError, StorageError
from fingpt.reading import Loading, Unreadable, parse_json, parse_object, parse_yaml, read_record
from fingpt.record import FileRef


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        ("{}".encode("utf-16"), "is not UTF-8"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b'{"a":' * 100_000, "nested deeper than 64"),
        (b'{"a": 1, "a": 2}', "names a key twice"),
        (b"9" * 5000, "a number of 5,000 digits"),
        (b"1e999", "no double can hold"),
        (b"NaN", "NaN or Infinity"),
        (b"-Infinity", "NaN or Infinity"),
        (b'"\\ud800"', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b'"' + b"a" * 100 + b'"', "has 102 bytes where 100 are allowed"),
    ],
)
def test_json_that_is_out_of_bounds_is_one_phrase(data, words):
    with pytest.raises(Unreadable, match=words):
        parse_json(data, 100 if data.startswith(b'"aa') else 1 << 20)


def test_json_within_bounds_is_read():
    nested = b"[" * 64 + b"]" * 64
    assert parse_json(b'{"a": [1, -0.5, true, null, "\\ud83d\\ude00", 18446744073709551615]}') == {
        "a": [1, -0.5, True, None, "😀", 2**64 - 1]
    }
    assert str(parse_json(nested)) == nested.decode()
    with pytest.raises(Unreadable, match="no JSON object"):
        parse_object(b"[]")


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"name": 1}', b'{"name": "a", "more": 1}'])
def test_a_record_that_cannot_be_read_names_key_and_what_to_do(data):
    with pytest.raises(StorageError, match=r"^runs/a/x\.json .*; restore the object\.$") as told:
        read_record(FileRef, data, "runs/a/x.json", "restore the object")
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x", "aliases .* not allowed, line 2, column 4"),
        ("a: &a [*a]", "aliases"),
        ("!!python/object/apply:os.system [x]", "constructor for the tag"),
        ("!!bool maybe", "cannot be read"),
        ("!!int x", "cannot be read"),
        ("9" * 5000, "cannot be read"),
        ("0x" + "f" * 5000, "more than 40 digits"),
        ("[" * 5000, "nested deeper than 64"),
        ("a: 1\na: 2", "stands twice"),
        ("? [a]\n: b", "unhashable"),
        ("\x00", "not plain YAML"),
        ("a: [", "not plain YAML"),
        ("a" * (2 << 20), "1,048,576 are allowed"),
    ],
)
def test_yaml_that_is_not_plain_is_one_phrase(text, words):
    with pytest.raises(Unreadable, match=words) as told:
        parse_yaml(text)
    assert len(str(told.value).splitlines()) == 1


def test_dates_in_yaml_stay_text_and_numbers_are_numbers():
    assert parse_yaml("a: 2024-02-30\nb: 2024-02-28\nc: 1.5\nd: [1, yes, null]") == {
        "a": "2024-02-30",
        "b": "2024-02-28",
        "c": 1.5,
        "d": [1, True, None],
    }
    assert parse_yaml("a: &x [1]\nb: *x", aliases=True) == {"a": [1], "b": [1]}


def test_what_yaml_1_1_alone_takes_for_numbers_is_text():
    text = "[010, -017, 1:30, 1:30.5, 0, 10, 0.5, 1_000, 0x1f, -3]"
    assert parse_yaml(text) == ["010", "-017", "1:30", "1:30.5", 0, 10, 0.5, 1000, 31, -3]


def test_whatever_a_library_raises_while_it_loads_is_one_sentence_and_a_signal_is_not():
    panic = type("PanicException", (BaseException,), {})
    for error in (
        KeyError("x"),
        AttributeError("no\nsuch"),
        RecursionError(),
        panic("index out of range"),
    ):
        with (
            pytest.raises(
                DataError, match=r"^The base cannot be loaded \(.+\); mirror it again\.$"
            ),
            Loading("The base", "mirror it again"),
        ):
            raise error
    with pytest.raises(KeyboardInterrupt), Loading("The base", "mirror it again"):
        raise KeyboardInterrupt
    with pytest.raises(StorageError), Loading("The base", "mirror it again"):
        raise StorageError("no space")
