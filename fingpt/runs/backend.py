"""Where a run is carried out: one interface, with local.py (processes of this machine) and cluster/submission.py."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from fingpt.config import Environment, RunConfig, argument
from fingpt.errors import ConfigError
from fingpt.models import ModelSpec
from fingpt.runs.run import Run, Stage


class Mode(StrEnum):
    """How to submit: leave a stage's Job alone, wait for it, only print it, or use processes of this machine."""

    SUBMIT = "submit"
    WAIT = "wait"
    DRY_RUN = "dry-run"
    LOCAL = "local"


def require_one_mode(mode: Mode) -> None:
    """ConfigError when make was given LOCAL=1 beside DRY_RUN=1."""
    if mode is Mode.DRY_RUN and argument("LOCAL").strip() in ("1", "yes", "true"):
        raise ConfigError(
            "DRY_RUN=1 prints the Jobs of a cluster, and LOCAL=1 has processes of this machine instead; leave one of "
            "them out."
        )


def works_here(mode: Mode, environment: Environment) -> bool:
    """Whether processes of this machine do the work; else a cluster does, or with DRY_RUN nobody."""
    folder = environment.store.startswith("file:") and mode is not Mode.DRY_RUN
    return folder or mode is Mode.LOCAL


def require_detachable(mode: Mode, environment: Environment) -> None:
    """ConfigError where processes of this machine do the work, which FOLLOW=0 would leave alone."""
    if works_here(mode, environment):
        raise ConfigError(
            "FOLLOW=0 leaves work to a cluster, and here processes of this machine do it, which end with the "
            "command; leave FOLLOW out."
        )


class Backend(Protocol):
    """Freezes runs, brings base weights and carries out stages; errors are those of fingpt/errors.py.

    `bring_base`, `bring_rows` and `execute` return what the command prints.
    """

    def freeze(self, config: RunConfig) -> Run:
        """The run of `config` by this backend's code, frozen into the store."""

    def bring_base(self, model: ModelSpec) -> str:
        """Bring a model's base weights into the store, from the hub or, for a tiny model, made; waits for the end."""

    def bring_rows(self, source: str) -> str:
        """Bring rows from the hub into the store; waits for the end."""

    def execute(self, runs: Sequence[Run], stages: Sequence[Stage], *, follow: bool | None) -> str:
        """Carry out `stages` of every one of `runs`, of each in order; `follow` says whether to wait for their ends.

        None is what is usual: several stages are waited for, a single one is not.
        """
