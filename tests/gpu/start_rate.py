"""How long the stage takes from its start to the end of its first step, with the base's weights on this disk.

    python -m tests.gpu.start_rate --model llama31 --base BASE --cache CACHE [train.max_steps=2 …]

`jobs.train` itself, as a pod starts it: it verifies the weights in the cache against their hashes, starts its trainer
and trains, to its first step unless --whole is given. Printed are the seconds to that step and to each first line of
its log, and those of the manifest's phases where it was whole. Weights are linked to and not copied, so BASE, CACHE and
the store, which is made beside BASE, are of one file system. A second start finds in CACHE what the first one compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fingpt.config import load_config
from fingpt.models import ModelSpec, spec
from fingpt.record import FileRef, sha256_file
from fingpt.runs.manifest import BaseManifest, encode
from fingpt.runs.run import Run, Stage, base_manifest_key, complete_key, run_key
from fingpt.storage import open_store
from jobs import CONFIGS
from tests.bench.paths import a_folder
from tests.gpu.long_rows import publish_run, write_splits

FIRST_STEP = "first step"


def publish_links(base: Path, store: Path, cache: Path, model: ModelSpec) -> None:
    """The base's files as objects of a store in a folder and as verified copies in a cache: links to what is there."""
    paths = sorted(path for path in base.iterdir() if path.is_file() and path.name[0] != ".")
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(sha256_file, paths))
    files = tuple(
        FileRef(name=path.name, sha256=digest, size=path.stat().st_size)
        for path, digest in zip(paths, sums, strict=True)
    )
    manifest = BaseManifest(base=model.base, revision=model.revision, files=files)
    kept = cache / "models" / f"{model.key}-{manifest.sha256[:16]}"
    for folder in (store / model.base_prefix, kept):
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if not (folder / path.name).exists():
                os.link(path, folder / path.name)
    open_store(store.as_uri()).create(base_manifest_key(model.base_prefix), encode(manifest))


@dataclass
class Start:
    """Seconds from the start of the stage to what it said and did; `code` is its exit code."""

    when: dict[str, float] = field(default_factory=dict)
    code: int = 0

    def note(self, event: str, started: float) -> None:
        """That happened for the first time, unless it did before."""
        self.when.setdefault(event, round(time.monotonic() - started, 2))


def start(store: Path, run: Run, cache: Path, scratch: Path, *, whole: bool) -> Start:
    """One `jobs.train` to its end, or, unless `whole`, to its first step; when its files and its lines of log came."""
    words = ["-m", "jobs.train", "--run", f"{store.as_uri()}/{run_key(run.id)}"]
    environment = {**os.environ, "FINGPT_CACHE": str(cache), "TMPDIR": str(scratch)}
    found, begun = Start(), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True
    )

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            with suppress(ValueError, KeyError, TypeError):
                found.note(str(json.loads(line)["event"]), begun)

    listener = threading.Thread(target=listen)
    listener.start()
    while process.poll() is None:
        for name, event in (("task.json", "inputs there"), ("metrics.jsonl", FIRST_STEP)):
            if event not in found.when and any(p.stat().st_size for p in scratch.rglob(name)):
                found.note(event, begun)
        if FIRST_STEP in found.when and not whole:
            process.kill()  # its trainer notices and ends too
        time.sleep(0.02)
    listener.join()
    found.code = process.returncode
    return found


def phases(store: Path, run: Run) -> dict[str, float]:
    """Seconds of the training's phases as its manifest has them."""
    data = open_store(store.as_uri()).read(complete_key(run.id, Stage.TRAIN))
    seconds: dict[str, float] = json.loads(data)["seconds"]
    return seconds


def main() -> int:
    """Start and print; 1 where there was no first step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--base", type=a_folder, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--name", default="")
    parser.add_argument(
        "--whole", action="store_true", help="train to the end, and time its phases"
    )
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_intermixed_args()
    config = load_config(CONFIGS / f"{asked.model}.yaml", asked.settings)
    store = Path(tempfile.mkdtemp(prefix="start-", dir=asked.base.parent))
    try:
        publish_links(asked.base, store, asked.cache, spec(asked.model))
        write_splits(store / "rows", asked.base, asked.rows)
        run = publish_run(open_store(store.as_uri()), config, store / "rows", asked.rows)
        scratch = store / "scratch"
        scratch.mkdir()
        found = start(store, run, asked.cache, scratch, whole=asked.whole)
        seconds = {} if found.code else phases(store, run)
    finally:
        shutil.rmtree(store)
    about = {"name": asked.name, "start_seconds": found.when.get(FIRST_STEP), "code": found.code}
    print(json.dumps({**about, "when": found.when, "phases": seconds}), flush=True)
    return 0 if FIRST_STEP in found.when else 1


if __name__ == "__main__":
    sys.exit(main())
