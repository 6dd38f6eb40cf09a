"""SOURCES: a small YAML file that names which sources to use, for what, and which kinds may be missing.

    sources:
      files: {folder: mydata, kinds: [price, action]}     # folder: DATA where it is left out
      edgar: {kinds: [fundamentals], settings: {contact: someone@example.com}}
    allow_missing: [news]      # rows are built without these where a source fails, and are marked degraded
    features: {…}              # what prompts state; read by fingpt/features

Without the file, all comes from the folder that DATA names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue, PrivateAttr, ValidationError

from fingpt.config import local_path
from fingpt.errors import ConfigError, MissingInputError, nearest
from fingpt.reading import Unreadable, first_fault, parse_yaml
from fingpt.record import Frozen
from fingpt.sources.files import NAME as FILES
from fingpt.sources.folder import TEMPLATES
from fingpt.sources.records import Kind

_KEYS = ("key", "token", "secret", "password")
"""How the names end that people give to a key in settings."""


class Choice(Frozen):
    """What one source is used for."""

    kinds: tuple[Kind, ...] = ()
    """Empty: all that it can deliver and no other source was given by name."""
    folder: str = ""
    """Of `files` alone."""
    settings: Mapping[str, JsonValue] = {}
    """The source's own; never a key, those come from the environment."""


class Selection(Frozen):
    """Which sources are used, in the order of the file."""

    sources: Mapping[str, Choice]
    allow_missing: tuple[Kind, ...] = ()
    features: Mapping[str, JsonValue] = {}
    _where: str = PrivateAttr(default="SOURCES")

    @property
    def where(self) -> str:
        """How messages name the file that says so."""
        return self._where

    def read_from(self, where: str) -> Selection:
        """The same, which messages name by `where`."""
        copy = self.model_copy()
        copy._where = where
        return copy

    def kinds_of(
        self, name: str, able: frozenset[Kind], refused: Mapping[Kind, str] | None = None
    ) -> frozenset[Kind]:
        """The kinds that the source `name`, which can deliver `able`, is used for.

        ConfigError when it was chosen for a kind that it cannot deliver, with the reason of those that are `refused`.
        """
        chosen = frozenset(self.sources[name].kinds)
        if lacking := sorted(chosen - able):
            why = [(refused or {})[kind] for kind in lacking if kind in (refused or {})]
            raise ConfigError(
                f"{name} has no {', '.join(lacking)}; it has {', '.join(sorted(able))}. {' '.join([*why, ''])}"
                "Correct its `kinds` in SOURCES."
            )
        taken = {
            kind for other, choice in self.sources.items() if other != name for kind in choice.kinds
        }
        return chosen or frozenset(able - taken)


def load_selection(sources: str, data: str) -> Selection:
    """What SOURCES (a file, may be empty) and DATA (a folder, may be empty) name.

    Raises ConfigError when neither names anything or the file is wrong, MissingInputError when it is not there.
    """
    if not sources.strip():
        if not data.strip():
            raise ConfigError(
                "No source is named: give DATA=folder with prices.csv and the like (templates lie in "
                f"{TEMPLATES}), or SOURCES=file.yaml."
            )
        return Selection(sources={FILES: Choice(folder=data)})
    path = local_path(sources)
    if not path.is_file():
        raise MissingInputError(
            f"SOURCES={sources} is no file; it is a YAML file that says `sources:`."
        )
    try:
        values = parse_yaml(path.read_text("utf-8"))
    except (Unreadable, UnicodeDecodeError) as fault:
        reason = str(fault) if isinstance(fault, Unreadable) else "is not UTF-8"
        raise ConfigError(f"SOURCES={sources} {reason}; write plain settings in YAML.") from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"SOURCES={sources} must hold settings: sources, allow_missing, features."
        )
    return parse_selection(values, f"SOURCES={sources}", data)


def parse_selection(values: dict[str, Any], where: str, data: str = "") -> Selection:
    """The Selection of settings; ConfigError naming the first fault. Without `sources`, all comes from `data`."""
    unknown = next((name for name in values if name not in Selection.model_fields), None)
    if str(unknown).lower().endswith(_KEYS):
        raise _no_key(f"{where}, {unknown}", "<SOURCE>")
    if unknown is not None:
        raise ConfigError(
            f"{where}: '{str(unknown)[:40]}' is no setting; {nearest(str(unknown), Selection.model_fields)}"
        )
    _check_shape(values, where)
    try:
        found = Selection.model_validate({"sources": {FILES: {}}, **values})
    except ValidationError as fault:
        raise ConfigError(f"{where} is wrong ({first_fault(fault)}); correct it.") from None
    if not found.sources:
        raise ConfigError(f"{where} names no source below `sources:`.")
    choices = {}
    for name, choice in found.sources.items():
        folder = choice.folder or (data if name == FILES else "")
        if name == FILES and not folder.strip():
            raise ConfigError(f"{where}: files needs a folder; set sources.files.folder, or DATA.")
        if name == FILES and choice.settings:
            raise ConfigError(f"{where}: settings of files stand in the folder's own folder.yaml.")
        if name != FILES and choice.folder:
            raise ConfigError(f"{where}: only files has a folder; put {name}'s under settings.")
        choices[name] = choice.model_copy(update={"folder": folder})
    return found.model_copy(update={"sources": choices}).read_from(where)


def _check_shape(values: Mapping[str, Any], where: str) -> None:
    """ConfigError for the first setting that has another shape or name than there is, with what to write there."""
    sources = _settings(values.get("sources", {}), f"{where}, sources", "files: {folder: mydata}")
    for source, choice in sources.items():
        at = f"{where}, sources.{str(source)[:40]}"
        for name in _settings(choice, at, "{kinds: [price]}, or {}"):
            if str(name).lower().endswith(_KEYS):
                raise _no_key(f"{at}.{name}", str(source))
            if name not in Choice.model_fields:
                raise ConfigError(
                    f"{at}.{str(name)[:40]} is no setting; {nearest(str(name), Choice.model_fields)}"
                )
        _check_kinds(choice.get("kinds", []), f"{at}.kinds")
        if not isinstance(choice.get("folder", ""), str):
            raise ConfigError(f"{at}.folder is no text; write the folder's path.")
        for name in _settings(choice.get("settings", {}), f"{at}.settings", "{name: value}"):
            if str(name).lower().endswith(_KEYS):
                raise _no_key(f"{at}.settings.{name}", str(source))
    _check_kinds(values.get("allow_missing", []), f"{where}, allow_missing")
    _settings(values.get("features", {}), f"{where}, features", "{weeks: 4}")


def _settings(value: object, at: str, example: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{at} holds no settings by name; write them as {example}.")
    return value


def _check_kinds(value: object, at: str) -> None:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{at} is no list; write it in brackets, as [price, news].")
    for number, kind in enumerate(value):
        if kind not in list(Kind):
            raise ConfigError(
                f"{at}.{number}: '{str(kind)[:40]}' is no kind; {nearest(str(kind), Kind)}"
            )


def _no_key(at: str, source: str) -> ConfigError:
    variable = f"FINGPT_{source[:40].upper()}_KEY"
    return ConfigError(
        f"{at}: no key stands in this file; set {variable}, or {variable}_FILE to a file that holds it, and remove it "
        "here."
    )
