"""Which files of a source hold which split, by their names; pure but for the predicate that it is handed.

Known layouts: `train.parquet` and the like; shards (`train-00000-of-00002.parquet`), flat or below `data/`; folders
named by a split; a data set's `save_to_disk`; part files of Spark; one file, or files of one series, without a split.
A split has one source, and no data file is passed over: what cannot be placed is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fingpt.errors import DataError, MissingInputError

SPLITS = ("train", "validation", "test")
"""The parts of a data set, in order."""

LAYOUTS = (
    "train.parquet and test.parquet, shards such as train-00000-of-00002.parquet, folders train/ and test/, a saved "
    "data set, or one file (.parquet, .jsonl, .csv or .arrow; .jsonl and .csv may be gzipped)"
)

_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_READ = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".jsonl.gz": "jsonl.gz",
    ".ndjson.gz": "jsonl.gz",
    ".json.gz": "jsonl.gz",
    ".csv.gz": "csv.gz",
}
_UNREAD = tuple(
    ".tsv .txt.gz .xls .xlsx .orc .avro .feather .pkl .pickle .npy .npz .h5 .hdf5 .db .sqlite .zip .tar .tgz .gz .bz2 "
    ".xz .zst .lz4 .7z .part .partial .crdownload .incomplete .parq .pq .jsonlines".split()
)
# What lies beside rows and bears their names: programs that made them, logs, hashes, settings.
_NO_DATA = tuple(
    ".py .ipynb .sh .bat .ps1 .r .jl .sql .md .rst .html .pdf .png .svg .log .out .err .yaml .yml .toml .cfg .ini "
    ".lock .md5 .sha1 .sha256 .sha512 .sig .asc .dvc".split()
)
# What tools write beside the rows, `make build` among them.
_BESIDE = {
    "manifest.json",
    "dataset_dict.json",
    "dataset_info.json",
    "dataset_infos.json",
    "state.json",
    "thumbs.db",
}
# What `datasets` keeps beside a saved data set that was worked with; `load_from_disk` does not read it either.
_CACHE = re.compile(r"(.*/)?(cache-[0-9a-f]{8,}(_\d+_of_\d+)?\.arrow|tmp\w{6,})")
_PARTITION = re.compile(r"(?:.*/)?(\w+)=[^/]*/[^/]+")
_SHARD = re.compile(r"(.*?)[-_.]?(\d{1,9})[-_]of[-_](\d{1,9})(?!\d)(.*)")
_PART = re.compile(r"part-(\d+)\b.*")
_NUMBER = re.compile(r"\d+")
_STEM = re.compile(rf"({'|'.join(_NAMES)})([-_.]?\d+([-_]of[-_]\d+)?)?(\..*)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of the files of each split, in reading order, relative to the source.

    `named` is False where no name speaks of a split; all rows are then `train`, and their weeks decide the split.
    """

    files: dict[str, tuple[str, ...]]
    named: bool

    def frozen_names(self) -> list[tuple[str, str]]:
        """(name in the store, name in the source) of every file: equal rows get equal names, wherever they lay."""
        return [
            (f"{split}{_place(number, len(names))}.{kind_of(name)}", name)
            for split, names in self.files.items()
            for number, name in enumerate(names)
        ]


def kind_of(name: str) -> str:
    """How a file is read: parquet, arrow, jsonl, jsonl.gz, csv or csv.gz; empty when it is not."""
    lower = PurePosixPath(name).name.lower()
    return next((kind for suffix, kind in _READ.items() if lower.endswith(suffix)), "")


def split_of(frozen_name: str) -> str:
    """The split of a file under the name that `Layout.frozen_names` gave it."""
    return re.split(r"[-.]", frozen_name, maxsplit=1)[0]


def find_layout(
    names: Iterable[str], where: str, holds_rows: Callable[[str], bool] = lambda _: True
) -> Layout:
    """The layout of the files `names` (relative POSIX paths) of the source that messages call `where`.

    A file without a place is passed over only where `holds_rows` says that it is certainly none of rows (answers of a
    model beside them). Raises MissingInputError when there is no data file, DataError when one is not read or a
    split has two sources.
    """
    seen = sorted(name for name in names if name and not _hidden(name))
    saved = {name.removesuffix("state.json") for name in seen if name.endswith("state.json")}
    data = [name for name in seen if _is_data(name) and not _is_cache(name, saved)]
    _refuse_partitions(data, where)
    readable = [name for name in data if kind_of(name)]
    if not readable:
        shown = ", ".join(seen[:8]) or "nothing"
        raise MissingInputError(f"Source {where} holds no rows, only {shown}; give {LAYOUTS}.")
    _refuse_contradictions(readable, where)
    by_split: dict[str, list[str]] = {}
    for name in readable:
        by_split.setdefault(_split_named(name), []).append(name)
    unplaced = by_split.pop("", [])
    if len(unplaced) > 1 or by_split:
        unplaced = [name for name in unplaced if holds_rows(name)] or ([] if by_split else unplaced)
    unread = sorted([name for name in data if not kind_of(name)] + (unplaced if by_split else []))
    if unread:
        raise DataError(
            f"Source {where} holds data files that would not be read: {_some(unread)}; move them elsewhere, or name "
            f"them after their split. What is read: {LAYOUTS}."
        )
    if not by_split:
        return Layout({"train": _one_source("the rows", unplaced, where)}, named=False)
    for split, found in by_split.items():
        if len({_series(name) for name in found}) > 1:
            by_split[split] = [name for name in found if holds_rows(name)] or found
    return Layout(
        {s: _one_source(f"split {s}", by_split[s], where) for s in SPLITS if s in by_split},
        named=True,
    )


def single_file(name: str) -> Layout:
    """The layout of one file that was named itself; without a split in its name its weeks decide the split."""
    if not kind_of(name):
        raise MissingInputError(f"Source {name} is no file of rows; give {LAYOUTS}.")
    split = _split_named(name)
    return Layout({split or "train": (name,)}, named=bool(split))


def _hidden(name: str) -> bool:
    """Files that tools hide: .cache, .crc, ._x of macOS, and Spark's _SUCCESS, which is no data file either way."""
    return any(part.startswith(".") for part in name.split("/"))


def _is_data(name: str) -> bool:
    lower = name.rpartition("/")[2].lower()
    if lower in _BESIDE:
        return False
    if lower.endswith((*_READ, *_UNREAD)):
        return True
    # train.txt, test.csv.old, train without any ending: named after a split and nothing that is known to be no data.
    return bool(_STEM.fullmatch(lower)) and not lower.endswith(_NO_DATA)


def _is_cache(name: str, saved: Collection[str]) -> bool:
    """Whether a file is a cache in one of the folders `saved`, which `save_to_disk` has written."""
    match = _CACHE.fullmatch(name)
    return match is not None and (match[1] or "") in saved


def _refuse_partitions(names: Iterable[str], where: str) -> None:
    """DataError for folders named `column=value`: that column is in no file, so its rows lack it."""
    for name in names:
        if match := _PARTITION.fullmatch(name):
            raise DataError(
                f"Source {where} is partitioned: {name} stands for a value of '{match[1]}' by its folder's name alone; "
                "write the rows again with all columns in the files (without partition_cols or partitionBy)."
            )


def _refuse_contradictions(names: Iterable[str], where: str) -> None:
    """DataError for a file whose folder speaks of another split than its own name, such as `eval/train.csv`."""
    for name in names:
        folder, own = _split_of_folders(name), _split_of_own(name)
        if folder and own and folder != own:
            raise DataError(
                f"Source {where} holds {name}, whose folder says {folder} and whose name says {own}; rename one of "
                "them, or name the folder itself that holds the rows."
            )


def _split_named(name: str) -> str:
    """The split that a file's folders, else its own name, speak of; empty where none or several do."""
    return _split_of_folders(name) or _split_of_own(name)


def _split_of_folders(name: str) -> str:
    for folder in reversed(name.split("/")[:-1]):
        stem = folder.lower()
        for suffix in _READ:
            stem = stem.removesuffix(suffix)
        if stem in _NAMES:
            return _NAMES[stem]
    return ""


def _split_of_own(name: str) -> str:
    words = re.split(r"[^a-z]+", name.rpartition("/")[2].lower())
    found = {_NAMES[word] for word in words if word in _NAMES}
    return found.pop() if len(found) == 1 else ""


def _one_source(what: str, names: Sequence[str], where: str) -> tuple[str, ...]:
    """`names` in reading order when they are one file or the files of one series; DataError otherwise."""
    series: dict[tuple[str, str, str], list[str]] = {}
    for name in names:
        series.setdefault(_series(name), []).append(name)
    if len(series) > 1 and not _loose(series):
        several = [
            f"{group[0]}{f' and {len(group) - 1} more' if group[1:] else ''}"
            for group in series.values()
        ]
        raise DataError(
            f"Source {where} has {len(series)} sources of {what}: {_some(several)}; keep one, or every row might count "
            "twice."
        )
    for group in series.values():
        _require_complete(group, where)
    return tuple(sorted(names, key=_natural))


def _series(name: str) -> tuple[str, str, str]:
    """What the files of one series have in common: folder, kind, name without its number."""
    folder, _, own = name.rpartition("/")
    kind = kind_of(name)
    if match := _SHARD.fullmatch(own):
        return folder, kind, f"{match[1]}-of-{match[3]}{match[4]}"
    if _PART.fullmatch(own):
        return folder, kind, "part"
    return folder, kind, own


def _loose(series: Iterable[tuple[str, str, str]]) -> bool:
    """Whether files of several names are one source all the same: of one kind, in one folder, and either numbered
    alike (rows_1.csv, rows_2.csv) or in a folder that a split names (train/AAPL.jsonl, train/MSFT.jsonl).
    """
    folders, kinds, names = (set(each) for each in zip(*series, strict=True))
    if len(folders) > 1 or len(kinds) > 1:
        return False
    if any(name == "part" or "-of-" in name for name in names):
        return False
    numbered = {_NUMBER.sub("#", name) for name in names}
    (folder,) = folders
    return len(numbered) == 1 or bool(folder and _split_named(f"{folder}/x"))


def _require_complete(names: Sequence[str], where: str) -> None:
    """DataError when shards that say how many they are (…-of-00002) are not all there."""
    match = _SHARD.fullmatch(names[0].rpartition("/")[2])
    if match is None:
        return
    total = int(match[3])
    there = {
        int(found[2]) for name in names if (found := _SHARD.fullmatch(name.rpartition("/")[2]))
    }
    if len(names) > len(there):
        raise DataError(
            f"Source {where} holds {len(names)} files for {len(there)} shards, {_some(names)}: their numbers repeat; "
            "keep one of each."
        )
    if len(there) != total or there not in (set(range(total)), set(range(1, total + 1))):
        raise DataError(
            f"Source {where} holds {len(there)} of the {total} shards that {names[0]} speaks of; fetch the others, or "
            "rename what is there."
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which 10 follows 9."""
    parts = re.split(r"(\d{1,18})", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _place(number: int, total: int) -> str:
    return "" if total == 1 else f"-{number:05d}-of-{total:05d}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
