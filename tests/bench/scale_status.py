"""One status of a sweep, from a process of its own: `python -m tests.bench.scale_status FOLDER NAMESPACE SWEEP`.

`jobs.status` asks no cluster about a folder, since no pod can reach one; the trials of the benchmark are simulated, and
their bucket is one. All else is as there. The last line has the requests by kind.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

import jobs.status  # noqa: F401  what the command imports takes time too
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.api.transport import Kind
from fingpt.storage import LocalStore
from fingpt.sweeps.status import render, sweep_status
from fingpt.sweeps.view import require_sweep


def main(folder: str, namespace: str, sweep: str) -> None:
    """Print the screen, then the requests."""
    store = LocalStore(Path(folder))
    require_sweep(store, sweep)
    asked: list[Counter[str]] = []

    def reach() -> tuple[ClusterApi, str]:
        cluster = Cluster.connect(namespace)
        asked.append(counted(cluster))
        return cluster, cluster.where

    found = sweep_status(store, sweep, datetime.now(UTC), reach)
    assert found.studies, found
    assert found.controller.startswith("running"), found
    Console(width=160).print(render(found))
    print(json.dumps(asked[0]))


def counted(cluster: Cluster) -> Counter[str]:
    """Requests of this client by verb and resource, from now on."""
    found: Counter[str] = Counter()
    transport = cluster._api
    send, lines = transport._send, transport.lines

    def counting_send(call: Any, *rest: Any, **options: Any) -> Any:
        found[f"{call.verb} {call.resource}"] += 1
        return send(call, *rest, **options)

    def counting_lines(verb: str, kind: Kind, *rest: Any, **options: Any) -> Any:
        found[f"{verb} {kind.plural}"] += 1
        return lines(verb, kind, *rest, **options)

    transport._send, transport.lines = counting_send, counting_lines  # type: ignore[method-assign]
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
