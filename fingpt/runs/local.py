"""The backend of this machine: stages and base weights as processes, one after the other; it holds no state."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fingpt import log
from fingpt.config import HUB_TOKEN_VARIABLES, RunConfig, child_environment
from fingpt.errors import Interrupted, StageFailedError
from fingpt.models import ModelSpec, spec
from fingpt.runs.freeze import freeze
from fingpt.runs.run import Run, Stage, base_manifest_key, code_digest, run_key
from fingpt.runs.signals import on_signals
from fingpt.storage import ObjectStore

ROOT = Path(__file__).resolve().parents[2]


def local_images() -> dict[str, str]:
    """What stands for images where processes of this machine compute a run: the digest of this checkout's code."""
    code = f"local:{code_digest(ROOT)[:16]}"
    return {str(stage): code for stage in Stage}


class LocalBackend:
    """`backend.Backend` by processes of this machine; runs are identified by the hash of the code instead of images."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def freeze(self, config: RunConfig) -> Run:
        """The run of `config` by the code of this checkout."""
        return freeze(self._store, config, local_images())

    def bring_base(self, model: ModelSpec) -> str:
        """Mirror or make base weights."""
        name = "tiny" if model.tiny else "mirror"
        self._process(name, "--model", model.key)
        return ""

    def bring_rows(self, source: str) -> str:
        """Mirror rows."""
        self._process("mirror", "--data", source)
        return ""

    def execute(
        self,
        runs: Sequence[Run],
        stages: Sequence[Stage],
        *,
        follow: bool | None = None,  # noqa: ARG002
    ) -> str:
        """Run `stages` in order, one run after the other; stops at the first that fails, with its exit code.

        A tiny model's base weights are made when they are missing and more than one stage is asked for.
        """
        for run in runs:
            self._carry_out(run, stages)
        return "\n".join(run.id for run in runs)

    def _carry_out(self, run: Run, stages: Sequence[Stage]) -> None:
        log.event("running on this machine", run=run.id, stages=", ".join(stages))
        model = spec(run.config.model)
        missing = not self._store.exists(base_manifest_key(model.base_prefix))
        if len(stages) > 1 and model.tiny and missing:
            self.bring_base(model)
        for stage in stages:
            self._process(
                stage, "--run", f"{self._store.uri}/{run_key(run.id)}", "--sha256", run.sha256
            )

    def _process(self, name: str, *arguments: str) -> None:
        """`python -m jobs.<name>`, which gets our SIGTERM and SIGINT, and whose exit code becomes ours.

        It has a session of its own: a terminal (or `timeout`) signals its whole process group, and a stage that gets
        the same signal twice would take the second for impatience.
        """
        environment = {
            key: value
            for key, value in child_environment(FINGPT_STORE=self._store.uri).items()
            if name == "mirror" or key not in HUB_TOKEN_VARIABLES
        }
        process: subprocess.Popen[bytes] | None = None
        early: list[int] = []  # signals that came before there was a process
        passed: list[int] = []

        def forward(number: int) -> None:
            if process is None:
                early.append(number)
            else:
                passed.append(number)
                process.send_signal(number)

        # From before it is started: an interrupt raised while it starts would leave one that nobody ends.
        with on_signals(forward):
            process = subprocess.Popen(
                [sys.executable, "-m", f"jobs.{name}", *arguments],
                env=environment,
                start_new_session=True,
            )
            for number in early[:1]:
                process.send_signal(number)
            code = process.wait()
        if (early or passed) and code != 0:
            raise Interrupted(f"Stage {name} was interrupted; the same command resumes.")
        if code != 0:
            log.event("stage failed", stage=name, code=code)
            raise StageFailedError.of(name, code if code > 0 else 128 - code)
