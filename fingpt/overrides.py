"""What people write as settings: `key.path=value` overrides, and one sentence for each fault of a configuration.

`root` is the model of the whole configuration (`config.RunConfig`), which tells names and types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from shlex import quote
from typing import Any, TypeVar

from pydantic import ValidationInfo

from fingpt.errors import ConfigError, nearest
from fingpt.reading import Unreadable, parse_yaml
from fingpt.record import Frozen

S = TypeVar("S", bound=Frozen)

_SYNONYMS = {
    setting: words.split()
    for setting, words in {
        "train.lr": "lr learning_rate learningrate eta max_lr peak_lr base_lr",
        "train.epochs": "epochs num_train_epochs num_epochs n_epochs max_epochs nepochs epoch",
        "train.batch_size": "per_device_train_batch_size micro_batch_size train_batch_size bs batchsize",
        "train.accumulation": "gradient_accumulation_steps grad_accum accumulate_grad_batches gradient_accumulation",
        "train.lora.r": "lora_r lora_rank rank r",
        "train.lora.alpha": "lora_alpha alpha",
        "train.lora.dropout": "lora_dropout dropout",
        "train.lora.targets": "target_modules lora_target_modules lora_target targets",
        "train.warmup_ratio": "warmup warmup_steps",
        "train.schedule": "lr_scheduler_type lr_scheduler scheduler lr_schedule",
        "train.weight_decay": "wd l2 decay",
        "train.max_grad_norm": "grad_clip gradient_clip_val gradient_clipping clip_norm max_norm clip_grad_norm",
        "train.max_tokens": "max_length max_seq_length max_seq_len cutoff_len seq_length block_size sequence_len",
        "train.optimizer": "optim opt",
        "train.precision": "fp16 bf16 mixed_precision dtype torch_dtype",
        "train.gradient_precision": "fp8 fp8_gradients",
        "train.base_precision": "load_in_8bit int8 quantization",
        "train.save_every": "save_steps",
        "train.eval_every": "eval_steps evaluation_steps",
        "train.processes": "n_gpus gpus num_gpus nproc_per_node num_processes",
        "train.nodes": "nnodes num_nodes num_machines",
        "train.zero_stage": "deepspeed zero",
        "prep.source": "dataset data train_file dataset_name",
        "prep.limit": "max_samples max_train_samples num_samples",
        "eval.max_new_tokens": "max_tokens_to_sample",
        "eval.batch_size": "per_device_eval_batch_size eval_batch_size",
        "seed": "random_seed random_state",
    }.items()
}
_MEANT = {word: setting for setting, words in _SYNONYMS.items() for word in words}
"""What other tools call a setting → what it is called here."""

_VARIABLES = {"prep.source": "DATA", "prep.limit": "LIMIT", "eval.adapter": "ADAPTER"}
"""Settings that have a variable of make to themselves."""

LEAST_VALIDATION_WEEKS = 2
"""Of an evaluation on validation rows, whose temperature is fitted on other weeks than it is judged on."""


def apply_override(data: dict[str, Any], override: str, root: type[Frozen]) -> None:
    """Set one `key.path=value` in `data`; the value is YAML, or plain text where the setting is text.

    ConfigError when it has no such form, or goes through a value.
    """
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"SET={quote(override)} must look like SET=train.lr=1e-4.")
    node = data
    for depth, part in enumerate(parts[:-1], start=1):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(
                f"SET={quote(override)}: '{'.'.join(parts[:depth])}' is a value, not a section."
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
        if meant := synonym(path, root):
            return f"'{path}' is no setting; did you mean '{meant}'?"
        return f"'{path}' is no setting; {nearest(fault['loc'][-1], _known_keys(fault['loc'][:-1], root))}"
    message = (
        str(fault["msg"])
        .removeprefix("Value error, ")
        .removeprefix("Assertion failed, ")
        .rstrip(".")
    )
    message = message if len(message) <= 400 else f"{message[:400]}…"
    if fault["type"] == "missing":
        return f"'{path}' is missing"
    if fault["type"] == "value_error":
        return message
    unset = "; null is its default" if _may_be_unset(fault["loc"], root) else ""
    return f"'{path}' is {_shown(fault['input'])}, but {message[0].lower()}{message[1:]}{unset}"


def _may_be_unset(loc: Sequence[int | str], root: type[Frozen]) -> bool:
    """Whether the setting at `loc` is null by default."""
    node: Any = root
    for part in loc[:-1]:
        node = getattr(node, "model_fields", {}).get(part)
        node = getattr(node, "annotation", None)
    field = getattr(node, "model_fields", {}).get(loc[-1]) if loc else None
    return field is not None and field.default is None


def synonym(key: str, root: type[Frozen]) -> str:
    """The setting of `root` that other tools call by the last word of `key`; empty where there is none."""
    word = key.rpartition(".")[2].lower().replace("-", "_")
    meant = _MEANT.get(word, "")
    node: Any = root
    for part in filter(None, meant.split(".")):
        node = getattr(node, "model_fields", {}).get(part)
        node = getattr(node, "annotation", None)
    return meant if node is not None else ""


def complaint(
    faults: Iterable[Any],
    root: type[Frozen],
    where: str,
    overrides: Sequence[str] = (),
    argument: Callable[[str], str] = lambda _: "",
) -> str:
    """One sentence for each fault, below what holds it: the variable of make that set it, else `where`, the file.

    `argument` tells what make was given as a variable.
    """
    given = {
        key.strip(): f"{variable}={quote(value)}"
        if (variable := _VARIABLES.get(key.strip(), "")) and argument(variable).strip() == value
        else f"SET={quote(override)}"
        for override in overrides
        for key, _, value in (override.partition("="),)
    }
    found: dict[str, list[str]] = {}
    for fault in faults:
        path, text = ".".join(map(str, fault["loc"])), sentence(dict(fault), root)
        exact = [said for key, said in given.items() if f"{path}.".startswith(f"{key}.")]
        # A rule between settings names them in its text.
        among = [
            said for key, said in given.items() if fault["type"] == "value_error" and key in text
        ]
        place = exact[-1] if exact else f"{' '.join(among)} on {where}" if among else where
        found.setdefault(place, []).append(text)
    return " ".join(f"{place}: {joined(texts)}" for place, texts in found.items())


def joined(texts: Iterable[str], end: str = ".") -> str:
    """Several sentences as one, each once; the last keeps its question mark, or ends with `end`."""
    whole = "; ".join(text.rstrip(".") for text in dict.fromkeys(texts))
    return whole if not whole or whole.endswith("?") else f"{whole}{end}"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _known_keys(section: Sequence[int | str], root: type[Frozen]) -> list[str]:
    model: Any = root
    for part in section:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
