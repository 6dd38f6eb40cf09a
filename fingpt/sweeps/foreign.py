"""How the files of other tools say what a file of jobs/sweeps says: the right words for theirs. Pure.

W&B, Optuna, Ray Tune, Hydra, NNI and Katib are what people come from. Nothing of theirs is carried out: what they mean
may differ in a detail, so a person writes it anew, by a sentence that gives the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

_EXAMPLE = (
    "with lines such as train.lr: {low: 1e-5, high: 1e-3, log: true} or train.epochs: [1, 2, 3]"
)

_WORDS = {
    f"'space' here, {_EXAMPLE}": (
        "parameters params search_space searchspace param_space hparams hyperparameters hyperparams config"
    ),
    "'objective' here: loss or labels, and both are minimised": "metric goal direction metrics loss",
    "'pruning' here, with reduction and first, for method tpe": (
        "early_terminate pruner scheduler early_stopping earlystopping"
    ),
    "'trials' here": "run_cap n_trials num_samples max_trials maxtrialcount maxtrialnumber count n_iter",
    "'parallel' here": (
        "max_concurrent max_concurrent_trials n_jobs parallelism paralleltrialcount trialconcurrency concurrency"
    ),
    "'method' here: grid, random or tpe": "sampler algorithm search_alg tuner search strategy",
    "'seed' here": "random_state random_seed",
    "said by the command (make sweep MODEL=… SPACE=…); leave it out": (
        "program command project entity name description model models"
    ),
}
_MEANINGS = {word: meaning for meaning, words in _WORDS.items() for word in words.split()}

_METHODS = {"bayes": "tpe", "bayesian": "tpe", "optuna": "tpe", "bohb": "tpe", "hyperband": "tpe"}

_LOW = ("low", "min", "lower", "minimum", "from", "start")
_HIGH = ("high", "max", "upper", "maximum", "to", "stop")
_LISTS = ("values", "choices", "choice", "categorical", "grid_search", "_value", "list", "feasible")
_STEPS = ("step", "q", "stepsize")
_MOST_STEPS = 20
_CALL = re.compile(r"(?:[a-z_]+\.)*(?P<name>[a-z_]+)\((?P<rest>.*)\)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"tag\((?P<tags>[^()]*),\s*(?P<inner>\w+\(.*\))\s*\)", re.DOTALL)  # Hydra's
_SPAN = re.compile(
    r"(?P<low>[-+.0-9e]+)\s*(?:\.\.+|:|,| to )\s*(?P<high>[-+.0-9e]+)", re.IGNORECASE
)


def word_here(word: str) -> str:
    """What a word at the top of another tool's file is called here; empty where it is of none."""
    return _MEANINGS.get(word.lower(), "")


def method_here(word: str) -> str:
    """The method that another tool calls `word`; `word` in small letters where there is none."""
    plain = word.lower()
    return _METHODS.get(plain, plain.removesuffix("_search").removesuffix("search"))


def line_here(name: str, values: object) -> str:
    """The line that says here what `values` mean in another tool's file; empty where nothing is recognised."""
    said = _from_text(values) if isinstance(values, str) else _from_mapping(values)
    return f"{name}: {said}" if said else ""


def _from_mapping(values: object) -> str:
    if not isinstance(values, Mapping):
        return ""
    for key in _LISTS:
        if isinstance(values.get(key), Sequence) and not isinstance(values[key], str):
            return _from_list(values[key], str(values.get("_type", "choice")))
    if len(values) == 1:
        ((word, inner),) = values.items()
        if isinstance(inner, Sequence) and not isinstance(inner, str) and len(inner) >= 2:
            return _from_list(inner[1:] if _is_suggestion(word) else inner, str(word))
    low = next((values[key] for key in _LOW if key in values), None)
    high = next((values[key] for key in _HIGH if key in values), None)
    words = " ".join(str(values.get(key, "")) for key in ("distribution", "type", "_type", "scale"))
    if "log_uniform" in words and "values" not in words and _number(low) is not None:
        # W&B's own: ends are exponents of e.
        low, high = (math.exp(min(_number(end) or 0.0, 700.0)) for end in (low, high))
        return _span(low, high, log=True)
    step = next((values[key] for key in _STEPS if key in values), None)
    return _stepped(low, high, step) or _span(
        low, high, log="log" in words.lower() or values.get("log") is True
    )


def _stepped(low: object, high: object, step: object) -> str:
    """The list of a range in steps, which no range is here; empty where there is no step, or too many for a line."""
    first, last, width = _number(low), _number(high), _number(step)
    if first is None or last is None or not width or not 1 <= (last - first) / width < _MOST_STEPS:
        return ""
    count = math.floor((last - first) / width + 1e-9) + 1
    return f"[{', '.join(f'{first + n * width:g}' for n in range(count))}]"


def _from_text(text: str) -> str:
    tag = _TAG.fullmatch(text.strip())
    if tag:
        text = f"{'log' if 'log' in tag['tags'].split(',') else ''}{tag['inner']}"
    call = _CALL.fullmatch(text.strip())
    if call:
        parts = [part.strip().strip("[]'\" ") for part in call["rest"].split(",")]
        plain = [
            part for part in parts if "=" not in part or part.partition("=")[0] in ("low", "high")
        ]
        ends = [part.rpartition("=")[2] for part in plain if part]
        ends = ends[1:] if _is_suggestion(call["name"]) else ends
        ends += [part.partition("=")[2] for part in parts if part.startswith(("step=", "q="))]
        return _from_list(ends, call["name"] + ("log" if "log=True" in text else ""))
    span = _SPAN.fullmatch(text.strip())
    return _span(span["low"], span["high"], log=False) if span else ""


def _is_suggestion(word: object) -> bool:
    """Whether it is one of Optuna's `suggest_…`, whose first argument is the parameter's own name."""
    return str(word).lower().startswith("suggest_")


def _from_list(values: Sequence[object], word: str) -> str:
    plain = word.lower()
    if any(part in plain for part in ("uniform", "float", "int", "range", "interval")):
        if len(values) < 2:
            return ""
        low, high, *more = values
        log, quantised = "log" in plain, plain.rpartition(".")[2].startswith("q")
        last = _number(high)
        if "randint" in plain and not quantised and last is not None:
            high = last - 1  # Ray's, NNI's and NumPy's end before it
        step = more[0] if more and (quantised or not log) else None  # else the logarithm's base
        return _stepped(low, high, step) or _span(low, high, log=log)
    shown = ", ".join(str(value) for value in values[:8])
    return f"[{shown}{', …' if len(values) > 8 else ''}]" if values else ""


def _span(low: object, high: object, *, log: bool) -> str:
    ends = _number(low), _number(high)
    if None in ends:
        return ""
    return f"{{low: {ends[0]:g}, high: {ends[1]:g}{', log: true' if log else ''}}}"


def _number(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) else float(str(value))
    except ValueError:
        return None
