"""`make list` on many runs and `make status SWEEP=` on as many trials, at a real S3 server and in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench import invented
from tests.bench.figures import line, p99, timed
from tests.bench.s3_server import serving

SWEEP = "invented-0a1b2c3d"
LIST_SECONDS, STATUS_SECONDS = 5.0, 2.0
REPEATS = 3


def measure(folder: Path, runs: int, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """Seconds, processor seconds and memory of the commands; the peer is the same command on a hundredth of them."""
    lines = []
    few = max(runs // 100, 10)
    with serving(folder) as (data, environment):
        for bucket, count in (("few", few), ("many", runs)):
            invented.lay_down(data / bucket, count)
            for key, content in invented.sweep_objects(SWEEP, count // 2, count // 2, count // 2):
                invented.write(data / bucket / key, content)
        kinds = {
            "list": ["jobs.list"],
            "list STATE=failed": ["jobs.list", "--state", "failed"],
            "list MODEL=": ["jobs.list", "--model", invented.MODELS[0]],
            "list SWEEP=": ["jobs.list", "--sweep", SWEEP],
            "status SWEEP=": ["jobs.status", "--sweep", SWEEP, "--bucket-only"],
        }
        for name, words in kinds.items():
            found = {
                bucket: [
                    timed(["-m", *words], **environment, FINGPT_STORE=f"s3://{bucket}")
                    for _ in range(repeats)
                ]
                for bucket in ("few", "many")
            }
            walls = sorted(each.wall for each in found["many"])
            limit = STATUS_SECONDS if name.startswith("status") else LIST_SECONDS
            label = f"{name}, {runs} runs, S3"
            lines.append(
                line(
                    f"{label}, {'p99' if limit == STATUS_SECONDS else 'median'}",
                    p99(walls) if limit == STATUS_SECONDS else walls[repeats // 2],
                    "s",
                    peer=sorted(each.wall for each in found["few"])[repeats // 2],
                    limit=limit,
                    spread=walls[-1] - walls[0],
                )
            )
            lines.append(line(f"{label}, processor", found["many"][0].processor, "s"))
            lines.append(
                line(
                    f"{label}, memory",
                    max(each.memory for each in found["many"]),
                    "MiB",
                    peer=max(each.memory for each in found["few"]),
                    limit=300,
                )
            )
        found_here = timed(["-m", "jobs.list"], FINGPT_STORE=(data / "many").as_uri())
        lines.append(line(f"list, {runs} runs, folder", found_here.wall, "s", limit=LIST_SECONDS))
    return lines
