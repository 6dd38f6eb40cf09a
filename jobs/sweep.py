"""Search the settings of a training: `python -m jobs.sweep [--mode local]`, with SPACE and MODEL or MODELS of make.

Where: as `make run`. On a cluster a controller carries the sweep out (`controller`), and each trial of a grid or random
search is a pod (`trial`); both are started by Jobs, with the address of the frozen sweep.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from shlex import quote
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import (
    RunConfig,
    argument,
    load_config,
    local_path,
    read_environment,
    split_names,
    split_words,
)
from fingpt.doctor.evaluation import require_evaluation
from fingpt.errors import ConfigError, nearest
from fingpt.runs.backend import Mode, require_detachable, require_one_mode, works_here
from fingpt.runs.run import Stage, run_key
from fingpt.runs.stage import guarded, run_stage
from fingpt.sweeps.definition import SweepDefinition, load_definition
from fingpt.sweeps.freezing import require_name
from fingpt.sweeps.pod import begin_trial, locate_sweep
from fingpt.sweeps.submitting import carry_out_controller, submit
from jobs import CONFIGS, SWEEPS
from jobs.train import load_body


class Verb(StrEnum):
    """What to do: freeze a sweep and have it carried out; carry out a frozen one; carry out one of its trials."""

    SUBMIT = "submit"
    CONTROLLER = "controller"
    TRIAL = "trial"


def main(
    verb: Annotated[
        Verb, typer.Argument(help="controller and trial: what the pods start")
    ] = Verb.SUBMIT,
    sweep: Annotated[str, typer.Option(help="URI of the frozen sweep")] = "",
    sha256: Annotated[str, typer.Option(help="its whole hash; another one is refused")] = "",
    model: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_MODEL", help="of a trial, or to search for")
    ] = "",
    index: Annotated[
        int, typer.Option(envvar="JOB_COMPLETION_INDEX", help="number of the trial")
    ] = -1,
    mode: Annotated[Mode, typer.Option(help="how to carry it out")] = Mode.SUBMIT,
) -> None:
    """Search the settings of SPACE for each of MODELS; the same command goes on where it was."""
    log.setup(**({} if verb is Verb.SUBMIT else {"stage": "sweep"}))
    if verb is Verb.TRIAL:
        sys.exit(trial(sweep, sha256, model, index))

    def action() -> None:
        if verb is Verb.CONTROLLER:
            carry_out_controller(sweep, sha256)
            return
        require_one_mode(mode)
        follow = follows()
        if not follow:
            require_detachable(mode, read_environment())
        if seeds := argument("SEEDS").strip():
            raise ConfigError(
                f"SEEDS={quote(seeds)} is make run's; with how many seeds a sweep trains its chosen and its default "
                "setting, its file says: final_seeds."
            )
        name, definition = chosen_space()
        configs = chosen_configs(model)
        if works_here(mode, read_environment()):
            for config in configs:
                require_evaluation(config)  # of the best setting, after the search
        printed = submit(name, definition, configs, mode, follow=follow)
        typer.echo(printed)

    sys.exit(guarded(action))


def trial(uri: str, sha256: str, model: str, index: int) -> int:
    """Carry out one trial of a plan in this process; the exit code of its training."""
    runs: list[tuple[str, str]] = []

    def action() -> None:
        store, frozen = locate_sweep(uri, sha256)
        run = begin_trial(store, frozen, model, index)
        if run is not None:
            runs.append((f"{store.uri}/{run_key(run.id)}", run.sha256))

    code = guarded(action)
    if code or not runs:
        return code
    address, whole = runs[0]
    return run_stage(Stage.TRAIN, address, load_body, whole)


def chosen_space() -> tuple[str, SweepDefinition]:
    """The name and the definition that SPACE names: a search of jobs/sweeps, or a file anywhere.

    ConfigError with the known ones when it names none.
    """
    text = argument("SPACE").strip()
    if not text:
        known = (file.stem for file in SWEEPS.glob("*.yaml"))
        raise ConfigError(f"Name a search: make sweep SPACE=lora-grid; {nearest('', known)}")
    is_path = "/" in text or text.endswith((".yaml", ".yml"))
    path = local_path(text) if is_path else SWEEPS / f"{text}.yaml"
    require_name(path.stem)
    return path.stem, load_definition(path)


def chosen_configs(model: str) -> Sequence[RunConfig]:
    """The configuration of each of MODELS, or of MODEL, with DATA, LIMIT and SET applied."""
    names = split_names(argument("MODELS"), "MODELS")
    if names and model.strip():
        raise ConfigError(
            "MODEL= and MODELS= are both named; MODELS takes all of them: leave MODEL out."
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ConfigError(f"MODELS names {twice[0]} twice; name each model once.")
    names = names or [model.strip()]
    if not all(names):
        raise ConfigError("Name a model: make sweep MODEL=tiny-llama31 SPACE=tiny-grid.")
    settings = split_words(argument("SET"), "SET")
    data, limit = argument("DATA").strip(), argument("LIMIT").strip()
    settings += [f"prep.source={data}"] if data else []
    settings += [f"prep.limit={limit}"] if limit else []
    return [load_config(CONFIGS / f"{name}.yaml", settings) for name in names]


def follows() -> bool:
    """Whether to follow the sweep to its end; ConfigError unless FOLLOW is 1 or 0."""
    text = argument("FOLLOW").strip().lower()
    if text in ("", "1", "yes", "true"):
        return True
    if text in ("0", "no", "false"):
        return False
    raise ConfigError(f"FOLLOW={quote(text)} is neither 1 nor 0.")


if __name__ == "__main__":
    typer.run(main)
