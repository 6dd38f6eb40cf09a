from __future__ import annotations

from dataclasses import replace

from fingpt.report.inputs import read_runs
from fingpt.report.provenance import provenance
from fingpt.runs.manifest import PrecisionGate, TrainManifest, decode, encode

GATE = PrecisionGate(
    asked="train.base_precision=int8",
    instead="bf16",
    passed=False,
    rows=16,
    cosine=0.9312,
    loss_change=0.0013,
    least_cosine=0.97,
    most_loss_change=0.005,
)


def told(side) -> str:
    (line,) = [line for line in provenance([side]) if line.what == "8-bit products in training"]
    return line.values[0]


def test_a_report_says_which_products_were_in_8_bits_and_what_decided_it(world, plan):
    (side,) = read_runs(world.store, [world.add("llama31", plan())]).sides
    assert told(side) == "none asked for"
    gated = side.adapter.model_copy(update={"gate": GATE})
    stored = decode(TrainManifest, encode(gated), "")
    assert told(replace(side, adapter=stored)) == (
        "bf16 instead of train.base_precision=int8: over the first 16 rows the gradient's cosine with bf16 is 0.9312 "
        "(0.97 at least), the change of the loss 0.130% (0.5% at most)"
    )
    used = GATE.model_copy(update={"passed": True, "cosine": 0.9871})
    said = told(replace(side, adapter=side.adapter.model_copy(update={"gate": used})))
    assert said.startswith("train.base_precision=int8: over the first 16 rows")
    assert "over the first row the gradient" in GATE.model_copy(update={"rows": 1}).sentence
