"""What a whole run takes on this GPU, reckoned from rates that the same benchmark has measured, ours and the seed's.

The published data set: 1,230 rows to train on and 300 to evaluate and answer, 1,892 tokens each on average, 384 of them
the answer. Ours: a start, five epochs, ten evaluations of the loss, 300 answers. The seed's schedule is that of its
published logs: the same epochs and evaluations, and 8 times 50 answers on the way, one row at a time; the 300 answers
that it makes at the end are left out, to its favour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.lines import Line, line

TRAINED, HELD_OUT, TOKENS, ANSWER = 1230, 300, 1892, 384
EPOCHS, EVALUATIONS, SEED_ANSWERS = 5, 10, 8 * 50


@dataclass(frozen=True)
class Rates:
    """Measured on one machine, three times each: tokens a second of training, rows a second of losses and of answers.

    `start`: seconds to the end of the first step.
    """

    training: Sequence[float]
    start: float
    losses: Sequence[float]
    answers: Sequence[float]

    def seconds(self, answers: int) -> list[float]:
        """Of a whole run with as many answers, three times."""
        tokens, scored = EPOCHS * TRAINED * TOKENS, EVALUATIONS * HELD_OUT
        return [
            self.start + tokens / trained + scored / losses + answers / answered
            for trained, losses, answered in zip(
                self.training, self.losses, self.answers, strict=True
            )
        ]


def pipeline_lines(ours: Rates, seed: Rates) -> list[Line]:
    """Whole runs an hour: against the seed's schedule, and against the seed's way with as many answers as ours."""
    runs = [[3600 / spent for spent in ours.seconds(HELD_OUT)]]
    return [
        line(name, "runs/h", (*runs, [3600 / spent for spent in seed.seconds(answers)]))
        for name, answers in (
            ("whole run; peer: the seed's schedule, from its rates", SEED_ANSWERS),
            ("whole run; peer: the seed's rates, as many answers as ours", HELD_OUT),
        )
    ]


def headline(ours: Rates, seed: Rates, dollars_an_hour: float) -> dict[str, float]:
    """What a user decides by: rows a second, GPU-minutes and dollars of training the published data set, both ways."""
    rate, slow = (sorted(each.training)[len(each.training) // 2] for each in (ours, seed))
    minutes, slowly = (EPOCHS * TRAINED * TOKENS / each / 60 for each in (rate, slow))
    found = {
        "rows_per_second": rate / TOKENS,
        "gpu_minutes": minutes,
        "dollars": minutes / 60 * dollars_an_hour,
        "seed_gpu_minutes": slowly,
        "seed_dollars": slowly / 60 * dollars_an_hour,
        "dollars_an_hour": dollars_an_hour,
    }
    return {name: round(value, 2) for name, value in found.items()}
