"""Whether a training on this machine ends with the same bytes when it is repeated, stopped or killed on its way.

    python -m tests.gpu.exactness --model llama31 --base BASE [--rows 128] [train.processes=2 …]

Trains once to the end, once more, once with a SIGTERM to the supervisor and once with a SIGKILL to all of its trainers,
both after step 5 of 8; the last two are started again. Prints a line for each with the sha256 of the adapter; exits
with 1 where one of them differs. A base of few layers takes less time, and depth changes nothing in what could differ.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fingpt import log
from fingpt.config import load_config
from fingpt.record import canonical_json, sha256_bytes
from fingpt.train.handoff import TrainTask, read_records
from fingpt.train.launch import run_trainer
from fingpt.weights.adapter import WEIGHTS
from jobs import CONFIGS
from tests.bench.paths import a_folder
from tests.gpu.train_rate import prepared

STEPS, SAVED, BROKEN = 8, 2, 5


def train(path: Path) -> None:
    """The supervisor of one training, a process of its own; it takes SIGTERM as a stage does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    log.setup()
    task = TrainTask.model_validate_json(path.read_bytes())
    task = task.model_copy(update={"supervisor": os.getpid()})
    task.path.write_bytes(canonical_json(task))
    summary = run_trainer(task)
    print(json.dumps(summary.model_dump(mode="json")))


def started(task: TrainTask) -> subprocess.Popen[str]:
    """The supervisor of `task`."""
    words = [sys.executable, "-m", "tests.gpu.exactness", "--train", str(task.path)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def finished(task: TrainTask) -> dict[str, object]:
    """Train to the end, from whatever is there; the adapter's sha256 and where it went on."""
    begun = time.monotonic()
    process = started(task)
    out, _ = process.communicate()
    assert process.returncode == 0, f"the trainer ended with {process.returncode}"
    summary = json.loads(out.splitlines()[-1])
    return {
        "sha256": sha256_bytes((task.adapter / WEIGHTS).read_bytes()),
        "resumed": summary["resumed"],
        "exactness": summary["exactness"],
        "seconds": round(time.monotonic() - begun, 1),
        "train_loss": summary["train_loss"],
    }


def broken(task: TrainTask, how: signal.Signals) -> dict[str, object]:
    """Send `how` once step BROKEN is recorded: SIGTERM to the supervisor, SIGKILL to the trainers' session."""
    process = started(task)
    while len(read_records(task.metrics)) < BROKEN:
        assert process.poll() is None, f"the trainer ended with {process.returncode}"
        time.sleep(0.01)
    if how == signal.SIGTERM:
        process.terminate()
    else:
        for child in reversed(descendants(process.pid)):
            os.kill(child, signal.SIGKILL)
    process.communicate()
    return {"ended": process.returncode, "steps": len(read_records(task.metrics))}


def descendants(process: int) -> list[int]:
    """Processes that it started, and that these did."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def on_fresh_scratch(task: TrainTask) -> TrainTask:
    """The same training as another pod goes on with it: what is in the store is all that is left."""
    folder = task.folder.with_name("second")
    folder.mkdir()
    again = task.model_copy(update={"folder": folder})
    again.path.write_bytes(canonical_json(again))
    return again


def main() -> int:
    """Train, print, compare; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=Path)
    parser.add_argument("--model", default="llama31")
    parser.add_argument("--base", type=a_folder)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--only", default="again,sigterm,sigkill")
    parser.add_argument("--cache", type=Path, help="a folder with compiled code")
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_intermixed_args()
    if asked.train:
        train(asked.train)
        return 0
    own = [f"train.max_steps={STEPS}", "train.epochs=1", f"train.save_every={SAVED}"]
    config = load_config(CONFIGS / f"{asked.model}.yaml", [*own, *asked.settings])
    shas = set()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("whole", *asked.only.split(",")):
            cache = asked.cache or folder / "cache"
            task = prepared(config, folder / name, asked.base, (asked.rows, 4), cache)
            way = {"sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}.get(name)
            first = {} if way is None else broken(task, way)
            found = finished(task if way is None else on_fresh_scratch(task))
            shas.add(found["sha256"])
            print(json.dumps({"what": name, "broken": first, **found}), flush=True)
    same = len(shas) == 1
    print(json.dumps({"what": "all the same", "same": same}), flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
