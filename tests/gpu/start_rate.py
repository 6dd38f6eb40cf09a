"""How long the stage takes from its start to the end of its first step, with the base's weights on this disk.

    python -m tests.gpu.start_rate --model llama31 --base BASE --cache CACHE [train.max_steps=2 …]

`jobs.train` itself, as a pod starts it: it verifies the weights in the cache against their hashes, starts its trainer
and trains. Weights are linked to and not copied, so BASE, CACHE and the store, which is made beside BASE, are of one
file system. A second start finds in CACHE what the first one compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fingpt.config import load_config
from fingpt.models import ModelSpec, spec
from fingpt.record import FileRef, sha256_file
from fingpt.runs.manifest import BaseManifest, encode
from fingpt.runs.run import Run, base_manifest_key, run_key
from fingpt.storage import open_store
from jobs import CONFIGS
from tests.gpu.long_rows import publish_run, write_splits


def publish_links(base: Path, store: Path, cache: Path, model: ModelSpec) -> None:
    """The base's files as objects of a store in a folder and as verified copies in a cache: links to what is there."""
    paths = sorted(path for path in base.iterdir() if path.is_file())
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


def seconds_to_first_step(store: Path, run: Run, cache: Path, scratch: Path) -> tuple[float, int]:
    """Those of one `jobs.train`, and its exit code."""
    words = ["-m", "jobs.train", "--run", f"{store.as_uri()}/{run_key(run.id)}"]
    environment = {**os.environ, "FINGPT_CACHE": str(cache), "TMPDIR": str(scratch)}
    started, seen = time.monotonic(), 0.0
    process = subprocess.Popen([sys.executable, *words], env=environment)
    while process.poll() is None:
        if not seen and any(path.stat().st_size for path in scratch.rglob("metrics.jsonl")):
            seen = time.monotonic() - started
        time.sleep(0.05)
    return seen, process.returncode


def main() -> int:
    """Start, print, and give the exit code of the stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--name", default="")
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
        seconds, code = seconds_to_first_step(store, run, asked.cache, scratch)
    finally:
        shutil.rmtree(store)
    print(
        json.dumps({"name": asked.name, "start_seconds": round(seconds, 1), "code": code}),
        flush=True,
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
