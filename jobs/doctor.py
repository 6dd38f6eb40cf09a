"""Check what a run needs before it is started: `python -m jobs.doctor [--model MODEL] [--data …] [--set …]`.

An adapter that was made elsewhere is named by FINGPT_ARG_ADAPTER, as for submit.

Exit 0 when nothing fails, else the code of the worst failure. Probing the store leaves a few tiny objects there;
probing a cluster takes some Jobs of seconds, which want no GPU and are deleted.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import argument, load_config, read_environment, split_words
from fingpt.doctor.checks import Check, worst
from fingpt.doctor.examine import examine
from fingpt.runs.signals import interrupt_on_signals
from fingpt.runs.stage import guarded
from jobs import CONFIGS


def main(
    model: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_MODEL", help="name of a file in jobs/configs")
    ] = "tiny-llama31",
    data: Annotated[str, typer.Option(envvar="FINGPT_ARG_DATA", help="source of the rows")] = "",
    limit: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_LIMIT", help="rows to keep per split")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help='overrides, such as "train.lr=1e-4 train.epochs=1"'),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per check")] = False,
) -> None:
    """Check store, credentials, base weights, rows, an adapter, disk and, where the store is a bucket, the cluster."""
    log.setup()
    checks: list[Check] = []

    def action() -> None:
        environment = read_environment()
        settings = [word for text in set_ or [argument("SET")] for word in split_words(text, "SET")]
        settings += [f"prep.source={data}"] if data.strip() else []
        settings += [f"prep.limit={limit}"] if limit.strip() else []
        adapter = argument("ADAPTER")
        settings += [f"eval.adapter={adapter}"] if adapter.strip() else []
        config = load_config(CONFIGS / f"{model.strip()}.yaml", settings)
        # SIGTERM ends it as Ctrl-C does: the Jobs that it has made are deleted first.
        with interrupt_on_signals():
            for check in examine(config, environment):
                checks.append(check)
                _show(check, as_json)

    code = guarded(action)
    sys.exit(code or worst(checks))


def _show(check: Check, as_json: bool) -> None:
    if as_json:
        typer.echo(log.to_json(asdict(check)))
        return
    typer.echo(log.printable(f"{check.grade:4}  {check.name}: {check.message}"))
    if check.action:
        typer.echo(log.printable(f"      what to do: {check.action}"))


if __name__ == "__main__":
    typer.run(main)
