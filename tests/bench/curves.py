"""Losses of several trainings over one another: python -m tests.bench.curves OUT.json RUN.json …

Each RUN is what tests.gpu.train_rate printed, with --name. OUT.json keeps their losses, what computed them and where;
OUT.svg beside it is the chart; where OUT.json is there, both get another name. Without a RUN the chart is drawn again
from OUT.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from tests.bench.kept import keep

_KEPT = (
    "name",
    "losses",
    "eval_loss",
    "tokens_per_second",
    "spread",
    "peak_gib",
    "hardware",
    "versions",
)


def curves(runs: Sequence[Path]) -> dict[str, Any]:
    """The last line of each file that is JSON, as it is kept; `largest_difference` is that between the first two."""
    found = []
    for path in runs:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith("{")]
        run = json.loads(lines[-1])
        found.append({name: run[name] for name in _KEPT if name in run})
    pairs = zip(*(run["losses"] for run in found[:2]), strict=False)
    apart = max((abs(one - other) for one, other in pairs), default=0.0)
    return {"benchmark": "losses", "largest_difference": round(apart, 5), "curves": found}


def draw(content: dict[str, Any], path: Path) -> None:
    """The losses by step, a line for each training."""
    points = [
        {"step": step, "loss": loss, "training": run["name"]}
        for run in content["curves"]
        for step, loss in enumerate(run["losses"], start=1)
    ]
    chart = (
        alt.Chart(alt.Data(values=points), width=640, height=280)
        .mark_line(point=True, opacity=0.7)
        .encode(
            x=alt.X("step:Q", title="optimizer step", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("loss:Q", title="nats per answer token", scale=alt.Scale(zero=False)),
            color=alt.Color(
                "training:N", title=None, legend=alt.Legend(orient="top", labelLimit=600)
            ),
            strokeDash=alt.StrokeDash("training:N", title=None),
        )
    )
    chart.save(str(path))


def main(out: Path, runs: Sequence[Path]) -> None:
    """Keep and draw."""
    path = keep(curves(runs), out) if runs else out
    draw(json.loads(path.read_text("utf-8")), path.with_suffix(".svg"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]])
