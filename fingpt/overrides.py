"""What people write as settings: `key.path=value` overrides, and one sentence for each fault of a configuration.

`root` is the model of the whole configuration (`config.RunConfig`), which tells names and types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationInfo

from fingpt.errors import ConfigError, nearest
from fingpt.reading import Unreadable, parse_yaml
from fingpt.record import Frozen

S = TypeVar("S", bound=Frozen)

LEAST_VALIDATION_WEEKS = 2
"""Of an evaluation on validation rows, whose temperature is fitted on other weeks than it is judged on."""


def apply_override(data: dict[str, Any], override: str, root: type[Frozen]) -> None:
    """Set one `key.path=value` in `data`; the value is YAML, or plain text where the setting is text.

    ConfigError when it has no such form, or goes through a value.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"Override '{override}' must look like 'train.lr=1e-4'.")
    node = data
    for depth, part in enumerate(parts[:-1], start=1):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(
                f"Override '{override}': '{'.'.join(parts[:depth])}' is a value, not a section."
            )
        node = child
    node[parts[-1]] = text if _is_text(parts, root) else _scalar(text)


def scorable(settings: S, info: ValidationInfo) -> S:
    """Settings of eval that fit those of prep; ValueError where validation rows cannot be scored as was asked."""
    weeks = getattr(info.data.get("prep"), "validation_weeks", LEAST_VALIDATION_WEEKS)
    answer_rows = getattr(settings, "answer_rows", None)
    if getattr(settings, "split", "") != "validation":
        return settings
    if weeks < LEAST_VALIDATION_WEEKS:
        raise ValueError(
            f"eval.split=validation needs prep.validation_weeks ≥ {LEAST_VALIDATION_WEEKS}, not {weeks}: each week is "
            "judged with a temperature that was fitted on the others"
        )
    if answer_rows is not None:
        raise ValueError(
            f"eval.answer_rows={answer_rows} asks for answers, and eval.split=validation makes none; leave one of them "
            "out"
        )
    return settings


def forget_allowed_leaks(data: dict[str, Any], overrides: Sequence[str]) -> None:
    """A file allows leaks of the rows that it names: other rows, named by an override, have to be judged anew."""
    prep = data.get("prep")
    sources = [
        value
        for key, _, value in (o.partition("=") for o in overrides)
        if key.strip() == "prep.source"
    ]
    if isinstance(prep, dict) and sources and sources[-1] != prep.get("source"):
        prep.pop("allow_leaks", None)


def _is_text(parts: Sequence[str], root: type[Frozen]) -> bool:
    """Whether the setting of that name is plain text, such as a path, in which YAML would see comments or numbers."""
    model: Any = root
    for part in parts:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return bool(model == dict[str, str])
        model = fields[part].annotation
    return model in (str, str | None)


def _scalar(text: str) -> Any:
    """YAML's reading of `text`, with `1e-4` as the number people mean (YAML 1.1 wants `1.0e-4`)."""
    try:
        value = parse_yaml(text)
    except Unreadable:
        return text
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def sentence(fault: dict[str, Any], root: type[Frozen]) -> str:
    """A fault as pydantic reports it, in words: the setting, its value and what was expected."""
    path = ".".join(str(part)[:80] for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"'{path}' is no setting; {nearest(fault['loc'][-1], _known_keys(fault['loc'][:-1], root))}"
    message = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    message = message if len(message) <= 400 else f"{message[:400]}…"
    if fault["type"] == "missing":
        return f"'{path}' is missing"
    if fault["type"] == "value_error":
        return message
    return f"'{path}' is {_shown(fault['input'])}, but {message[0].lower()}{message[1:]}"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _known_keys(section: Sequence[int | str], root: type[Frozen]) -> list[str]:
    model: Any = root
    for part in section:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
