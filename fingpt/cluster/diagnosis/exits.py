"""What each exit code of a stage means to a person, and whether the Job tries again by itself.

The codes are those of fingpt/errors.py, the retries those of `podFailurePolicy` in k8s/.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit code of a stage: what it is called, what to do; `retried` when the Job starts another pod by itself."""

    word: str
    action: str
    retried: bool = False


_AGAIN = "the next pod resumes by itself"
_MANUAL = "then give the same command again; it resumes"

EXITS: dict[int, Exit] = {
    0: Exit("ended well", ""),
    1: Exit("unexpected error, a bug", "run again with FINGPT_DEBUG=1 and report it", True),
    64: Exit("configuration or command line is wrong", "correct what it names and submit again"),
    65: Exit("data, template or base do not fit", "make prep again, or mirror the base again"),
    66: Exit("an input is missing", "make what it names (make prep, make mirror), " + _MANUAL),
    69: Exit("could not start in time", "see what the pod was waiting for: make status"),
    70: Exit(
        "training diverged or ran out of GPU memory",
        "lower train.lr, or train.batch_size and train.max_tokens; that is a new run",
    ),
    73: Exit("the run's id belongs to another configuration", "use another store or namespace"),
    74: Exit(
        "stored bytes are damaged, or a disk is full", "make verify RUN=… names the object", True
    ),
    75: Exit("interrupted, or something outside failed for now", _AGAIN, True),
    76: Exit("fenced: another attempt owns the run", "nothing; the other attempt goes on", True),
    77: Exit("credentials or permissions refuse", "correct the Secret or the rights, " + _MANUAL),
    78: Exit("the environment is unfit", "make doctor says what, " + _MANUAL),
    137: Exit("killed (SIGKILL)", _AGAIN, True),
    143: Exit("stopped by SIGTERM, in good order", _AGAIN, True),
}

OUT_OF_MEMORY = Exit(
    "out of memory: the container's limit was reached (OOMKilled)",
    "raise resources.<stage>.memory, or lower train.batch_size, train.max_tokens or eval.batch_size",
    True,
)


def exit_of(code: int) -> Exit:
    """What an exit code means, known or not."""
    return EXITS.get(
        code,
        Exit(f"ended with the unknown exit code {code}", "make logs RUN=… shows its end", True),
    )
