"""Bytes and objects on a tape come back as they were put on it, from memory, from its file or from both."""

from __future__ import annotations

import pytest

from fingpt.errors import NoSpaceError, StorageError
from fingpt.storage import tape
from fingpt.storage.tape import Pickles, Tape


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Tape:
    monkeypatch.setattr(tape, "IN_MEMORY_BYTES", 10)
    return Tape()


def test_a_tape_gives_back_what_lies_in_its_file_in_memory_or_in_both(short: Tape) -> None:
    data = bytes(range(200))
    for start in range(0, 200, 7):
        short.append(data[start : start + 7])
        assert short.size == min(200, start + 7)
        for place in range(0, short.size, 5):
            size = min(9, short.size - place)
            assert short.read(place, size) == data[place : place + size]


def test_a_tape_that_somebody_cut_is_said_to_be(
    short: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    short.append(bytes(100))
    monkeypatch.setattr("fingpt.storage.tape.os.pread", lambda *_: b"")
    with pytest.raises(StorageError, match="ends at byte 3"):
        short.read(3, 50)


def test_a_full_disk_is_one_sentence(short: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fingpt.storage.tape.os.write", full)
    with pytest.raises(NoSpaceError, match=r"No space left for .*bytes are free there"):
        short.append(bytes(100))


@pytest.mark.parametrize("size", [0, 9, 10, 11, 500])
def test_all_bytes_are_there_at_once_and_stay_when_the_tape_is_gone(short: Tape, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    short.append(data[: max(0, size - 3)])
    short.append(data[max(0, size - 3) :])
    whole = short.whole()
    assert whole.readonly
    del short
    assert whole.tobytes() == data


def test_objects_are_read_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "IN_MEMORY_BYTES", 100)
    every = [{"n": number, "text": "é" * number} for number in range(60)]
    kept = Pickles[dict[str, object]]()
    for number, each in enumerate(every):
        kept.append(each)
        assert len(kept) == number + 1
        assert kept[number // 2] == every[number // 2]
    assert [kept[place] for place in reversed(range(60))] == every[::-1]
    assert kept[3] is not kept[3]
