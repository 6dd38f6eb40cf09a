"""Losses of several trainings over one another: python -m tests.bench.curves OUT.json RUN.json …

Each RUN is what tests.gpu.train_rate printed, with --name. OUT.json keeps their losses, what computed them and where;
OUT.svg beside it is the chart; where OUT.json is there, both get another name. Without a RUN the chart is drawn again
from OUT.json.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import altair as alt

from tests.bench.kept import keep
from tests.bench.paths import a_file

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


def training(text: str) -> dict[str, Any]:
    """The last line of JSON in a file that tests.gpu.train_rate printed to, as it is kept."""
    run: dict[str, Any] = {}
    for line in a_file(text).read_text("utf-8", errors="replace").splitlines():
        # A line is JSON or what else was printed there, which begins otherwise or ends too early.
        with suppress(ValueError):
            run = json.loads(line) if line.startswith("{") else run
    if not {"name", "losses"} <= run.keys():
        raise ArgumentTypeError(
            f"{text} holds no line of JSON with name and losses, as tests.gpu.train_rate prints with --name"
        )
    return {name: run[name] for name in _KEPT if name in run}


def curves(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Trainings as they are kept together; `largest_difference` is that between the first two."""
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


def main() -> None:
    """Keep and draw."""
    parser = ArgumentParser(prog="python -m tests.bench.curves")
    parser.add_argument("out", metavar="OUT.json", type=Path)
    parser.add_argument("runs", metavar="RUN.json", type=training, nargs="*", default=())
    asked = parser.parse_args()
    path = keep(curves(asked.runs), asked.out) if asked.runs else asked.out
    try:
        content = json.loads(path.read_text("utf-8"))
        drawn = content["benchmark"] == "losses"
    except (OSError, ValueError, LookupError, TypeError):
        # Without a RUN any path may be given: no file, or one of something else.
        drawn = False
    if not drawn:
        parser.error(f"{path} is no JSON that this command has kept; name a RUN.json to make it of")
    draw(content, path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
