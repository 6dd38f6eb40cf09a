"""What lies in a folder of files: which file is which table, and what its folder.yaml says of all of them.

Known are `<table>.csv`, `.jsonl`, `.parquet` (texts also gzipped) and folders `<table>/` of such files. No data file
is passed over: one that belongs to no table is refused by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from fingpt.errors import ConfigError, DataError, MissingInputError, nearest
from fingpt.reading import Unreadable, first_fault, parse_object, parse_yaml
from fingpt.record import FileRef, Frozen, sha256_file
from fingpt.rows.layout import kind_of
from fingpt.sources import table
from fingpt.sources.calendar import DEFAULT, exchange
from fingpt.sources.cells import Clock
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.schema import TABLES
from fingpt.storage.files import files_below, translate_os_errors

SETTINGS = "folder.yaml"
TEMPLATES = Path(__file__).parent / "templates"
"""A folder with one small file of each table, which is itself a folder of files that can be read."""

_UNREAD = tuple(
    ".feather .tsv .xls .xlsx .ods .orc .avro .pkl .pickle .h5 .db .sqlite .zip .gz .bz2 .xz .zst .7z".split()
)

_ROOMS = frozenset(
    "adapters built datasets forecasts ledger models openings raw reports runs sources sweeps".split()
)
"""What a store keeps its own objects under."""

_BUILT = {"recipe", "rows_sha256"}
"""What only the manifest of a built data set names."""

OWN_FILES = UsagePolicy.allowing(
    Use.RESEARCH,
    Use.LOCAL_CACHE,
    Use.PERSISTENT_STORAGE,
    Use.PRIVATE_DISPLAY,
    Use.MODEL_PROCESSING,
    terms="files: whoever brings them vouches that they may be used so",
)
"""What files are used for unless folder.yaml says otherwise: private work, nothing that others see."""


class FolderSettings(Frozen):
    """What folder.yaml may say; without the file the defaults hold."""

    calendar: str = DEFAULT
    """The exchange whose sessions the prices are of, by its code in exchange-calendars."""
    currency: str = "USD"
    """Of prices that name none."""
    times: Literal["offset", "exchange"] = "offset"
    """`exchange`: a time without an offset is on the exchange's clock; `offset`: it is refused."""
    policy: UsagePolicy = OWN_FILES

    def clock(self, now: datetime) -> Clock:
        """How times are read; ConfigError when there is no such calendar."""
        zone = exchange(self.calendar).zone
        return Clock(self.calendar, zone if self.times == "exchange" else None, now)


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder, by table, with names relative to it."""

    path: Path
    settings: FolderSettings
    tables: tuple[tuple[str, str], ...]
    """(name of the file, table), sorted."""

    def names(self) -> list[str]:
        """Every file that says something, the settings included."""
        settings = [SETTINGS] if (self.path / SETTINGS).is_file() else []
        return settings + [name for name, _ in self.tables]

    def refs(self) -> tuple[FileRef, ...]:
        """Names, sizes and hashes of these files."""
        return tuple(_ref(self.path, name) for name in self.names())


def require_apart(store: str, path: Path) -> None:
    """ConfigError when the folder of files and the store of that URI hold one another: results would be read as data.

    A folder beside the store's own rooms may lie in the store's folder.
    """
    uri = urlsplit(store)
    if uri.scheme != "file":
        return
    root, folder = Path(unquote(uri.path)).resolve(), path.resolve()
    inside = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    if root.is_relative_to(folder):
        how = f"{'is' if root == folder else 'lies in'} the folder of data {path}"
    elif inside and inside[0] in _ROOMS and not _is_built(path):
        how = f"has the folder of data {path} among its own objects"
    else:
        return
    raise ConfigError(
        f"The store {root} {how}, and what is written into the one would be read as the other; name a store beside it, "
        f"such as STORE={quote(str(_beside(root, folder)))}, or move the data elsewhere."
    )


def _beside(root: Path, folder: Path) -> Path:
    """A folder for a store that neither holds the data nor lies in them."""
    top = folder if root.is_relative_to(folder) else root
    return top.parent / f"{top.name}-store"


def _is_built(path: Path) -> bool:
    """Whether `path` is a data set that `make build` has made, by its manifest."""
    try:
        return parse_object((path / "manifest.json").read_bytes()).keys() >= _BUILT
    except (OSError, Unreadable):
        return False


def look(path: Path) -> Folder:
    """What lies in the folder `path`.

    Raises MissingInputError when it is no folder or holds no prices, DataError for a data file that would not be read,
    ConfigError when folder.yaml is wrong.
    """
    if not path.is_dir():
        raise MissingInputError(
            f"{path} is no folder; name the folder that holds prices.csv (templates: {TEMPLATES})."
        )
    if _is_built(path):
        raise DataError(
            f"{path} is a data set that `make build` has made, and what is asked for here are the data that such rows "
            "are built from; name the folder that holds prices.csv. To train on these rows: make run DATA="
            f"{quote(str(path))}."
        )
    with translate_os_errors(path):
        files = sorted(file.relative_to(path).as_posix() for file in files_below(path))
    tables = tuple((name, found) for name in files if (found := _table_of(name, path)))
    if not any(found == "prices" for _, found in tables):
        shown = ", ".join(files[:8]) or "nothing"
        raise MissingInputError(
            f"{path} holds no prices.csv, .jsonl or .parquet, only {shown}; templates of all tables are in {TEMPLATES}."
        )
    return Folder(path, read_settings(path / SETTINGS), tables)


def read_settings(path: Path) -> FolderSettings:
    """The settings of a folder; the defaults when there is no such file. ConfigError names the first fault."""
    if not path.is_file():
        return FolderSettings()
    try:
        values = parse_yaml(path.read_text("utf-8"))
        _check_names(values, path)
        return FolderSettings.model_validate(values if values is not None else {})
    except UnicodeDecodeError:
        reason = "is not UTF-8"
    except Unreadable as fault:
        reason = str(fault)
    except ValidationError as fault:
        reason = f"is wrong ({first_fault(fault)})"
    known = ", ".join(FolderSettings.model_fields)
    raise ConfigError(f"{path} {reason}; it may set {known}.")


def _check_names(values: object, path: Path) -> None:
    """ConfigError for a setting that does not exist, with the nearest that does, and for terms that are no list."""
    policy = values.get("policy") if isinstance(values, dict) else None
    for found, known, before in (
        (values, FolderSettings.model_fields, ""),
        (policy, UsagePolicy.model_fields, "policy."),
    ):
        for name in found if isinstance(found, dict) else ():
            if name not in known:
                raise ConfigError(
                    f"{path}: {before}{str(name)[:40]} is no setting; {nearest(str(name), known)}"
                )
    if isinstance(policy, dict) and not isinstance(policy.get("terms", []), list):
        raise ConfigError(
            f"{path}: policy.terms is no list; write it in brackets, as [licence of 2026]."
        )


def _table_of(name: str, path: Path) -> str:
    """The table that a file belongs to; empty for what is no data (scripts, hidden files, Excel's own locks)."""
    parts = name.split("/")
    lower = parts[-1].lower()
    if name == SETTINGS or any(part.startswith((".", "_", "~$")) for part in parts):
        return ""
    kind = kind_of(lower)
    stem = parts[0] if len(parts) == 2 else lower.partition(".")[0]
    if kind in table.KINDS and len(parts) <= 2 and stem in TABLES:
        return stem
    if not kind and not lower.endswith(_UNREAD):
        return ""
    if kind in table.KINDS and len(parts) == 1:
        raise DataError(
            f"{path} holds {name}, which is no table: {nearest(stem, TABLES).rstrip('.')}; rename it, or move it "
            "elsewhere."
        )
    raise DataError(
        f"{path} holds {name}, which would not be read; tables are {', '.join(TABLES)}, each as a .csv, .jsonl or "
        ".parquet file or a folder of such files: convert it, or move it elsewhere."
    )


def _ref(path: Path, name: str) -> FileRef:
    with translate_os_errors(path / name):
        return FileRef(
            name=name, size=(path / name).stat().st_size, sha256=sha256_file(path / name)
        )
