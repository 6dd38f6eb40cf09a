"""Say what a run would lack before it is begun: `python -m jobs.doctor [--model MODEL] [--data …] [--set …]`.

Exit 0 when nothing fails, else the code of the worst failure. Probing the store leaves a few tiny objects there;
probing a cluster takes some Jobs of seconds, which want no GPU and are deleted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import Environment, RunConfig, load_config, read_environment
from fingpt.doctor.checks import Check, failed, worst
from fingpt.doctor.local import local_checks
from fingpt.errors import FingptError
from fingpt.runs.stage import guarded
from fingpt.storage import open_store

CONFIGS = Path(__file__).resolve().parent / "configs"


def main(
    model: Annotated[str, typer.Option(help="name of a file in jobs/configs")] = "tiny-llama31",
    data: Annotated[str, typer.Option(help="source of the rows")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="override, such as train.processes=2")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per check")] = False,
) -> None:
    """Check store, credentials, base weights, rows, disk and, where the store is a bucket, the cluster."""
    log.setup()
    environment = read_environment()
    checks: list[Check] = []

    def action() -> None:
        overrides = [*(set_ or []), *([f"prep.source={data}"] if data else [])]
        config = load_config(CONFIGS / f"{model}.yaml", overrides)
        for check in _checks(config, environment):
            checks.append(check)
            _say(check, as_json)

    code = guarded(action, debug=environment.debug)
    sys.exit(code or worst(checks))


def _checks(config: RunConfig, environment: Environment) -> Iterator[Check]:
    store = open_store(environment.store)
    yield from local_checks(store, config, environment)
    if store.uri.startswith("file:"):
        return
    from fingpt.cluster.api.cluster import Cluster
    from fingpt.doctor.cluster import cluster_checks
    from fingpt.runs.run import Run

    try:
        cluster = Cluster.connect(environment.namespace)
        yield from cluster_checks(
            cluster, lambda there: Run.of(config, there.images.model_dump()), store.uri
        )
    except FingptError as fault:
        yield failed("cluster", fault)


def _say(check: Check, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(check), ensure_ascii=False))
        return
    typer.echo(f"{check.grade:4}  {check.name}: {check.message}")
    if check.action:
        typer.echo(f"      what to do: {check.action}")


if __name__ == "__main__":
    typer.run(main)
