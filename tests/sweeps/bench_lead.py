"""How often the comparison of finals is wrong, and what it finds: `python -m tests.sweeps.bench_lead`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fingpt.sweeps.report.lead import Word, judge

DRAWS = 20_000
Draw = Callable[[np.random.Generator, int], np.ndarray]

WORLDS: dict[str, tuple[Draw, Draw]] = {
    "normal, equal noise": (lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(0, 1, n)),
    "normal, one setting 3 times as noisy": (
        lambda r, n: r.normal(0, 1, n),
        lambda r, n: r.normal(0, 3, n),
    ),
    "heavy tails (t, 3 degrees)": (
        lambda r, n: r.standard_t(3, n),
        lambda r, n: r.standard_t(3, n),
    ),
    "skewed (exponential)": (
        lambda r, n: r.exponential(1, n) - 1,
        lambda r, n: r.exponential(1, n) - 1,
    ),
}


def share(
    draw: tuple[Draw, Draw], seeds: int, lead: float, rng: np.random.Generator
) -> dict[Word, float]:
    """Share of each word over `DRAWS` reports in which the chosen setting is `lead` better."""
    words = [judge(draw[0](rng, seeds) - lead, draw[1](rng, seeds)).word for _ in range(DRAWS)]
    return {word: sum(one is word for one in words) / DRAWS for word in Word}


def shared_noise(seeds: int, correlation: float, rng: np.random.Generator) -> float:
    """Share of wrong words where equal seeds bring equal noise to both settings, in part."""
    wrong = 0
    for _ in range(DRAWS):
        both, own = rng.normal(0, 1, seeds), rng.normal(0, 1, (2, seeds))
        sides = np.sqrt(correlation) * both + np.sqrt(1 - correlation) * own
        wrong += judge(*sides).word is not Word.AS_GOOD
    return wrong / DRAWS


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    for title, world in WORLDS.items():
        for count in (3, 4, 5):
            found = share(world, count, 0.0, generator)
            print(
                f"{title}, {count} seeds: better {found[Word.BETTER]:.3f}, worse {found[Word.WORSE]:.3f}"
            )
    for count in (3, 5):
        print(
            f"seeds that share half of their noise, {count}: wrong {shared_noise(count, 0.5, generator):.3f}"
        )
    for lead in (1.0, 2.0, 3.0, 4.0):
        print(
            f"lead of {lead} times the noise: found",
            {
                n: round(share(WORLDS["normal, equal noise"], n, lead, generator)[Word.BETTER], 3)
                for n in (3, 4, 5)
            },
        )
