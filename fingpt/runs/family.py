"""Which runs are members of one family: the same model, configuration and code, another seed or another origin.

`make run SEEDS=3` and `prep.origins` make families. Their members are ordinary runs; whoever summarises them groups
them by `family`.
"""

from __future__ import annotations

from collections.abc import Iterable

from fingpt.config import RunConfig, parse_config
from fingpt.record import canonical_json, sha256_bytes
from fingpt.runs.run import Run


def family(run: Run) -> str:
    """16 hex digits of the sha256 of `run`'s configuration without seed and origin, and of its code.

    The number of origins counts, the one that a run tests does not.
    """
    config = run.config.model_dump(mode="json")
    del config["seed"]
    config["prep"].pop("origin", None)
    return sha256_bytes(canonical_json([config, run.images]))[:16]


def members(config: RunConfig, seeds: int = 1) -> list[RunConfig]:
    """`config` once for each of `seeds` seeds, from its own upwards, and for each origin of a walk-forward.

    A walk-forward whose origin is chosen stays with it. Origins follow one another within a seed. ConfigError when a
    seed grows too large.
    """
    prep = config.prep
    every = range(1, prep.origins + 1) if prep.origins and not prep.origin else [prep.origin]
    plain = config.model_dump(mode="json")
    return [
        parse_config(
            {**plain, "seed": seed, "prep": {**plain["prep"], "origin": origin}}, where="SEEDS"
        )
        for seed in range(config.seed, config.seed + seeds)
        for origin in every
    ]


def families(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Members by family, in the order in which families first appear; members by origin, then by seed."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(family(run), []).append(run)
    return {name: sorted(members, key=_place) for name, members in found.items()}


def _place(run: Run) -> tuple[int, int]:
    return run.config.prep.origin or 0, run.config.seed
