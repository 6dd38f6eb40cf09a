"""JSON and YAML that somebody else may have written, read within bounds: bytes, depth, digits, no name twice.

Every fault is an Unreadable, whose text says what is wrong as the end of a sentence ("is not JSON"); `read_record`
makes a whole sentence of it. Nothing here opens a file or a store: callers bound what they read, as a store's `read`
does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable
from types import TracebackType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fingpt.errors import DataError, FingptError, StorageError

M = TypeVar("M", bound=BaseModel)

RECORD_BYTES = 32 << 20
"""The longest record: a manifest that names 150,000 files is shorter. A store reads no more unless told to."""

DATA_BYTES = 1 << 30
"""The longest file of rows, answers or metrics that is read as a whole."""

LINE_BYTES = 8 << 20
"""The longest line of such a file."""

_SETTINGS_BYTES = 1 << 20
_DEPTH = 64
_DIGITS = 40  # tokenizers say "no limit" with 31


class Unreadable(ValueError):
    """What is wrong with a text, as the end of a sentence that begins with its name."""


def parse_json(data: bytes, limit: int = RECORD_BYTES) -> Any:
    """The value of one JSON text in UTF-8.

    Raises Unreadable when it is longer than `limit` bytes, nested deeper than 64, names a key twice, holds a number
    of more than 40 digits or one that no double holds, or holds half a character (a lone surrogate).
    """
    if len(data) > limit:
        raise Unreadable(f"has {len(data):,} bytes where {limit:,} are allowed")
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except Unreadable:
        raise
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    except RecursionError:
        raise Unreadable(f"is nested deeper than {_DEPTH}") from None
    except ValueError:
        raise Unreadable("is not JSON") from None
    _check_tree(value)
    return value


def parse_object(data: bytes, limit: int = RECORD_BYTES) -> dict[str, Any]:
    """As `parse_json`; Unreadable also when the value is no object."""
    value = parse_json(data, limit)
    if not isinstance(value, dict):
        raise Unreadable("is no JSON object")
    return value


def read_record(
    kind: type[M], data: bytes, where: str, action: str, error: type[FingptError] = StorageError
) -> M:
    """The record of `kind` in JSON bytes; `error` naming `where`, the first fault and `action`, what to do next."""
    try:
        return kind.model_validate(parse_object(data))
    except ValidationError as fault:
        reason = f"is no {kind.__name__} ({first_fault(fault)})"
    except Unreadable as fault:
        reason = str(fault)
    raise error(f"{where} {reason}; {action}.")


def first_fault(fault: ValidationError) -> str:
    """The first thing that keeps a value from being a record: where, and what was expected."""
    first = fault.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][:6])
    return f"{place or 'all of it'}: {first['msg'].lower().removeprefix('value error, ')[:200]}"


def parse_yaml(text: str, *, aliases: bool = False) -> Any:
    """The value of one YAML text of plain values; dates stay text. `aliases` allows names for repeated parts.

    Raises Unreadable, with the place, on anything else: tags, aliases, deep nesting, more than 1 MiB.
    """
    if len(text) > _SETTINGS_BYTES:
        raise Unreadable(f"has {len(text):,} characters where {_SETTINGS_BYTES:,} are allowed")
    try:
        loader = _TemplateLoader(text) if aliases else _PlainLoader(text)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unreadable(f"is not plain YAML ({fault.problem or fault.context}{place})") from None
    except yaml.YAMLError as fault:
        raise Unreadable(f"is not plain YAML ({str(fault).splitlines()[0]})") from None
    except RecursionError:
        raise Unreadable(f"is nested deeper than {_DEPTH}") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
    ):  # !!bool maybe
        raise Unreadable("holds a value that cannot be read") from None
    if not aliases:
        _check_tree(value)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("names a key twice")
    return found


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > _DIGITS:
        raise Unreadable(f"holds a number of {len(text):,} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable("holds a number that no double can hold")
    return value


def _constant(_: str) -> None:
    raise Unreadable("holds NaN or Infinity, which JSON has not")


def _check_tree(value: Any) -> None:
    """Unreadable when a value is nested too deeply, or holds a text that is no UTF-8 or an endless number."""
    level = [value]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            elif isinstance(each, str) and not each.isascii():
                _check_text(each)
            elif isinstance(each, int) and abs(each) >= 10**_DIGITS:
                raise Unreadable(f"holds a number of more than {_DIGITS} digits")
        if not below:
            return
        level = below
    raise Unreadable(f"is nested deeper than {_DEPTH}")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable("holds half a character") from None


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader for plain values: no aliases unless allowed, no keys twice, no dates, no tags but the core's own."""

    aliases = False

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if not self.aliases and self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not allowed",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):  # PyYAML hands over any node that is tagged so
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(set(names)) < len(names):
                raise yaml.MarkedYAMLError(
                    problem="a key stands twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


_CORE = ("null", "bool", "int", "float", "str", "seq", "map")
_PlainLoader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in _CORE
}

_ODD_NUMBERS = r"(?![-+]?(?:0[0-9_]+$|[0-9_]+:))"
"""What YAML 1.1 alone takes for a number, 010 for 8 and 1:30 for 90, is a text here."""


def _plain(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(_ODD_NUMBERS + pattern.pattern, pattern.flags)


_CORE_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in pairs if tag.rpartition(":")[2] in _CORE]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, _plain(pattern)) for tag, pattern in pairs]
    for first, pairs in _CORE_RESOLVERS.items()
}


class _TemplateLoader(_PlainLoader):
    """For files that Kubernetes reads too: with aliases, and 0440 is an octal mode as it is there."""

    aliases = True


_TemplateLoader.yaml_implicit_resolvers = _CORE_RESOLVERS


class Loading:
    """A block in which a library loads bytes that somebody else may have made; whatever it raises is one DataError.

    Libraries answer such bytes with errors of any class: tokenizers panics (a BaseException), transformers fails on a
    missing attribute. Errors of this project, running out of memory and what is no error of the block (a signal) pass.
    """

    def __init__(self, where: str, action: str) -> None:
        self._where, self._action = where, action

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Turn the block's error into a DataError."""
        if kind is None or issubclass(kind, FingptError) or "OutOfMemory" in kind.__name__:
            return
        if issubclass(kind, Exception) or kind.__name__ == "PanicException":
            reason = next(iter(str(error).splitlines()), "")[:200].rstrip(" .:") or kind.__name__
            raise DataError(f"{self._where} cannot be loaded ({reason}); {self._action}.") from None
