"""Freeze a run and carry out its stages: `python -m jobs.submit prep|train|eval|run --model MODEL [--data …]`.

SEEDS=3 makes three runs, which differ in their seed, and `prep.origins` a run for each origin of a walk-forward.
`mirror` brings base weights and rows from the hub into the store, `tiny` makes the weights of a tiny model. Where: this
machine with `--mode local`, or when the store is a folder; else the cluster of the current kube context.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from shlex import quote
from typing import Annotated

import typer

from fingpt import log
from fingpt.cluster.submission import open_backend
from fingpt.config import (
    Environment,
    RunConfig,
    argument,
    load_config,
    read_environment,
    split_words,
)
from fingpt.doctor import power
from fingpt.doctor.evaluation import require_evaluation
from fingpt.errors import ConfigError
from fingpt.models import spec
from fingpt.runs.backend import Backend, Mode, require_detachable, require_one_mode, works_here
from fingpt.runs.family import members
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.weights.base import require_origin
from jobs import CONFIGS

MOST_SEEDS = 100


class Verb(StrEnum):
    """What to carry out: one stage, all of them, or to bring what they need: from the hub, or made."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"
    RUN = "run"
    MIRROR = "mirror"
    TINY = "tiny"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for; `settings` are overrides, those of DATA and LIMIT among them; `seeds` counts them, and
    `follow` says whether to wait for the end, None where nobody said.
    """

    verb: Verb
    model: str
    data: str
    settings: tuple[str, ...]
    seeds: int
    mode: Mode
    follow: bool | None
    environment: Environment

    def config(self, *more: str) -> RunConfig:
        """The configuration of that name with `settings` and `more`; ConfigError when none is named."""
        if not self.model:
            raise ConfigError(f"Name a model: make {self.verb} MODEL=tiny-llama31.")
        return load_config(CONFIGS / f"{self.model}.yaml", [*self.settings, *more])

    def backend(self) -> Backend:
        """Where the work is done; ConfigError when it is to be left to processes of this machine."""
        if self.follow is False:
            require_detachable(self.mode, self.environment)
        return open_backend(open_store(self.environment.store), self.mode, self.environment)


def main(
    verb: Annotated[Verb, typer.Argument(help="one stage, run for all of them, or base weights")],
    model: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_MODEL", help="a file in jobs/configs; a tiny model"),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_DATA", help="source of the rows; default: the configuration's"
        ),
    ] = "",
    limit: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_LIMIT", help="rows to keep per split")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help='overrides, such as "train.lr=1e-4 train.epochs=1"'),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="how to carry it out")] = Mode.SUBMIT,
) -> None:
    """Freeze a run into the store and carry out its stages; the same command resumes."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        require_one_mode(mode)
        words = [word for text in set_ or [argument("SET")] for word in split_words(text, "SET")]
        words += [f"prep.source={data}"] if data.strip() else []
        words += [f"prep.limit={limit}"] if limit.strip() else []
        asked = Asked(
            *(verb, model.strip(), data.strip(), tuple(words)),
            *(count_of(argument("SEEDS")), mode, follows(argument("FOLLOW"), mode), environment),
        )
        special = {Verb.MIRROR: mirror, Verb.TINY: make_tiny}
        printed = special.get(verb, carry_out)(asked)
        if printed:
            typer.echo(printed)

    sys.exit(guarded(action))


def make_tiny(asked: Asked) -> str:
    """Make the weights of a tiny model; returns what is to be printed."""
    row = spec(asked.model)
    require_origin(row, asked.environment.store, tiny=True)
    return asked.backend().bring_base(row)


def mirror(asked: Asked) -> str:
    """Bring a model's weights and its rows, or rows alone, from the hub; returns what is to be printed."""
    if not (asked.model or asked.data):
        raise ConfigError(
            "Name a model or rows: make mirror MODEL=llama31, or DATA=hub:owner/name."
        )
    config = asked.config() if asked.model else None
    if config:
        require_origin(spec(config.model), asked.environment.store, tiny=False)
    source = config.prep.source if config else asked.data
    if not config and not source.startswith("hub:"):
        raise ConfigError(
            f"DATA={quote(source)} is not on the hub; it is read where it lies, without a mirror."
        )
    backend = asked.backend()
    printed = [backend.bring_rows(source)] if source.startswith("hub:") else []
    printed += [backend.bring_base(spec(config.model))] if config else []
    return "---\n".join(filter(None, printed))


def count_of(seeds: str) -> int:
    """How many seeds the text asks for, one where it is blank; ConfigError when it is no count."""
    text = seeds.strip() or "1"
    if not text.isdecimal() or not 0 < int(text) <= MOST_SEEDS:
        raise ConfigError(f"SEEDS={quote(text)} is no number of seeds from 1 to {MOST_SEEDS}.")
    return int(text)


def follows(follow: str, mode: Mode) -> bool | None:
    """Whether to wait for the end, by FOLLOW and WAIT, None where neither says; ConfigError when they disagree."""
    words = {
        "": None,
        "1": True,
        "yes": True,
        "true": True,
        "0": False,
        "no": False,
        "false": False,
    }
    word = follow.strip()
    if word not in words:
        raise ConfigError(
            f"FOLLOW={quote(word)} is neither 1 nor 0; 0 returns once the cluster has the work."
        )
    if mode is Mode.WAIT and words[word] is False:
        raise ConfigError("WAIT=1 waits for the Job and FOLLOW=0 does not; leave one of them out.")
    return True if mode is Mode.WAIT else words[word]


def carry_out(asked: Asked) -> str:
    """Freeze the runs and carry out their stages; returns what is to be printed."""
    adapter = argument("ADAPTER")
    config = asked.config(*([f"eval.adapter={adapter}"] if adapter.strip() else []))
    _require_use(config, asked)
    if asked.verb in (Verb.RUN, Verb.EVAL) and works_here(asked.mode, asked.environment):
        require_evaluation(config)
    backend = asked.backend()
    if config.eval.adapter and asked.mode is not Mode.DRY_RUN:
        from fingpt.eval.foreign import freeze_adapter, hub_fetcher

        fetch = hub_fetcher(asked.environment.hub_token)
        config = freeze_adapter(open_store(asked.environment.store), config, fetch)
    runs: list[Run] = []
    for member in members(config, asked.seeds):
        # The first has brought the rows into the store; the others name them there.
        prep = member.prep.model_copy(update={"source": runs[0].config.prep.source} if runs else {})
        runs.append(backend.freeze(member.model_copy(update={"prep": prep})))
    stages = stages_of(runs[0], asked.verb)
    if Stage.TRAIN in stages and asked.mode is not Mode.DRY_RUN:
        # The rows are in the store by now; all origins of a walk-forward are judged together.
        prep = config.prep.model_copy(update={"source": runs[0].config.prep.source})
        power.announce_power(
            open_store(asked.environment.store), config.model_copy(update={"prep": prep})
        )
    return backend.execute(runs, stages, follow=asked.follow)


def _require_use(config: RunConfig, asked: Asked) -> None:
    if not config.eval.adapter:
        return
    if asked.verb is Verb.TRAIN:
        raise ConfigError(
            "ADAPTER names an adapter to evaluate, so there is nothing to train: make eval ADAPTER=…."
        )
    if asked.seeds > 1:
        raise ConfigError(
            "ADAPTER names one adapter, whose answers no seed changes; leave SEEDS out, or train adapters of your own."
        )


def stages_of(run: Run, verb: Verb) -> Sequence[Stage]:
    """What to carry out. A foreign adapter is evaluated by a run of its own, whose rows `eval` has to prepare first."""
    whole = verb is Verb.RUN or (run.config.eval.adapter and verb is Verb.EVAL)
    return run.stages if whole else [Stage(verb)]


if __name__ == "__main__":
    typer.run(main)
