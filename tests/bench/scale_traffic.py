"""What concurrent trials ask of an S3 server: the code of attempts and checkpoints, without training anything.

Each trial freezes its run, claims its stage, keeps up its heartbeat, commits checkpoints and completes. All of them
work at the same time in some processes of many threads; time is compressed, so that requests per trial are exact and
requests per second follow from how long a trial lasts.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fingpt.errors import FingptError
from fingpt.record import canonical_json
from fingpt.runs import attempt as attempts
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Stage, complete_key
from fingpt.storage import open_store
from fingpt.train.checkpoint import CheckpointLog
from tests.bench import invented
from tests.bench.figures import line, own_memory, p99
from tests.bench.s3_server import serving

TRIAL_SECONDS = 600.0
"""A trial of ten minutes, as one epoch of an 8B model is on one GPU."""

CHECKPOINTS = 3
ADAPTER_BYTES = 256 << 10  # bytes of an adapter are the model's affair; requests are not
PROCESSES = 2

# USD per 1,000 requests of S3 Standard in us-east-1: PUT, COPY, POST and LIST, then GET, HEAD and all others. As third
# parties quoted them when this was written, not from the vendor's own page. Traffic within the region costs nothing.
PRICE_DATE = "2026-11"
WRITE_PRICE, READ_PRICE = 0.005, 0.0004
WRITES = {
    "PutObject",
    "ListObjectsV2",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
}


def measure(folder: Path, concurrent: int) -> list[dict[str, Any]]:
    """Requests, bytes, latencies and price of so many trials at a time."""
    with serving(folder) as (data, environment):
        (data / "trials").mkdir()
        os.environ.update(environment)
        began = time.monotonic()
        shares = [range(start, concurrent, PROCESSES) for start in range(PROCESSES)]
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            found = pool.map(work, [list(share) for share in shares])
        wall = time.monotonic() - began
    requests: Counter[str] = sum((each[0] for each in found), Counter())
    latencies = [seconds for each in found for seconds in each[1]]
    sent = sum(each[2] for each in found) / concurrent - CHECKPOINTS * ADAPTER_BYTES
    faults = sum(each[4] for each in found)
    total = sum(requests.values())
    writes = sum(count for name, count in requests.items() if name in WRITES)
    beats = TRIAL_SECONDS / attempts.BEAT_SECONDS
    each = (total - requests["beat"]) / concurrent + beats
    price = (
        1000
        * (
            (writes / concurrent + beats) * WRITE_PRICE
            + (total - writes - requests["beat"]) / concurrent * READ_PRICE
        )
        / 1000
    )
    name = f"{concurrent} concurrent trials"
    return [
        line(f"{name}: requests per trial", each, "requests"),
        line(f"{name}: of them writes", writes / concurrent + beats, "requests"),
        line(
            f"{name}: requests per second of {TRIAL_SECONDS:.0f} s trials",
            concurrent * each / TRIAL_SECONDS,
            "1/s",
        ),
        line(
            f"{name}: requests per second that this server and this machine carried",
            total / wall,
            "1/s",
        ),
        line(f"{name}: p99 of a request", p99(latencies), "s"),
        line(f"{name}: bytes written per trial beside its adapter and later beats", sent, "B"),
        line(f"{name}: failed trials", float(faults), "trials", limit=0.0),
        line(f"{name}: memory of a process", max(each[3] for each in found), "MiB"),
        line(f"price per 1,000 trials, S3 Standard us-east-1 {PRICE_DATE}", price, "USD"),
    ]


def work(numbers: list[int]) -> tuple[Counter[str], list[float], int, float, int]:
    """Carry out the trials of these numbers at the same time; requests by name, their seconds, bytes, MiB, faults."""
    store = open_store("s3://trials")
    requests: Counter[str] = Counter()
    latencies: list[float] = []
    events = store._client.meta.events  # type: ignore[attr-defined]

    def before(request: Any, event_name: str, **_: object) -> None:
        # How often a trial beats here depends on how busy this machine is, so beats are counted by their period.
        kind = "beat" if "/heartbeats/" in request.url else event_name.rsplit(".", 1)[1]
        requests[kind] += 1
        request.context["began"] = time.monotonic()
        bytes_sent.append(int(request.headers.get("Content-Length") or 0))

    def after(context: dict[str, Any], **_: object) -> None:
        latencies.append(time.monotonic() - context["began"])

    events.register("before-send.s3", before)
    events.register("response-received.s3", after)
    bytes_sent: list[int] = []

    def one(number: int) -> int:
        try:
            trial(store, number)
        # What a trial may meet at a store is counted and shown; anything else is a bug, and ends the benchmark.
        except FingptError as fault:
            print(f"trial {number}: {fault}")
            return 1
        return 0

    with ThreadPoolExecutor(len(numbers)) as pool:
        faults = sum(pool.map(one, numbers))
    return requests, latencies, sum(bytes_sent), own_memory(), faults


def trial(store: Any, number: int) -> None:
    """One trial, from freezing its run to its manifest."""
    run = invented.run_of(number)
    create_run(store, run)
    with (
        attempts.claim(store, run.id, Stage.TRAIN) as attempt,
        tempfile.TemporaryDirectory() as scratch,
    ):
        log = CheckpointLog(store, run.id, {"config": run.config.sha256}, "here", attempt.check)
        for step in range(1, CHECKPOINTS + 1):
            folder = Path(scratch, str(step))
            folder.mkdir()
            (folder / "adapter_model.safetensors").write_bytes(os.urandom(ADAPTER_BYTES))
            (folder / "metrics.jsonl").write_text('{"step": 1}\n' * 100)
            log.commit(step, folder)
        attempt.check()
        manifest = dict(invented.objects(number - number % 10))
        data = manifest.get(complete_key(run.id, Stage.TRAIN), canonical_json({"run": run.id}))
        store.create(complete_key(run.id, Stage.TRAIN), data)
        store.read(complete_key(run.id, Stage.TRAIN))
