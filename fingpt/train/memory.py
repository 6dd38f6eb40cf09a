"""How many tokens a pack may have: measured on a GPU before the first step, fixed on a CPU.

Memory of a forward and backward pass grows by the same amount with every token, so two passes tell it. The largest pack
of the run is then tried for real; what does not fit is found out here and never in the middle of a run. Random states
and gradients are left as they were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

from fingpt import log
from fingpt.train.batching import Batching, Row
from fingpt.train.packs import Pack, make_pack

CPU_PACK_TOKENS = 4096
"""A CPU gains nothing from longer packs, and the same number everywhere keeps the bytes the same."""

_ROUND = 1024
_PROBES = (2048, 4096)
_MOST = 16384  # longer packs are slower where power is the limit
_SHARE = 0.92  # of the free memory; the rest is for fragments and what attention borrows
_LATER_BYTES = (
    12  # per trainable parameter: AdamW's two numbers, and a gradient's copy that ranks exchange
)

Compute = Callable[[Pack], object]
"""A forward and backward pass; gradients may stay where they are."""


def affordable_tokens(smaller: tuple[int, int], larger: tuple[int, int], available: int) -> int:
    """Tokens of a pack for 92 % of `available` bytes, by two passes of (tokens, peak bytes): a multiple of 1,024."""
    per_token = max((larger[1] - smaller[1]) / (larger[0] - smaller[0]), 1.0)
    fixed = smaller[1] - per_token * smaller[0]
    tokens = (_SHARE * available - fixed) / per_token
    return max(int(tokens) // _ROUND, 1) * _ROUND


def dense_row(rows: Sequence[Row], tokens: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Prompt and answer of an invented row of `tokens` tokens, with as many answers as the most talkative rows have.

    Logits of answers are large, and packs differ in their share of answers.
    """
    talkative = sorted(rows, key=lambda row: (-len(row.answer) / len(row), row.example))
    total = answers = 0
    for row in talkative:
        total, answers = total + len(row), answers + len(row.answer)
        if total >= tokens:
            break
    count = min(max(round(tokens * answers / total), 1), tokens - 1)
    return (0,) * (tokens - count), (0,) * count


def later_bytes(model: torch.nn.Module) -> int:
    """What a training allocates after its first pass, for optimizer and ranks."""
    trainable = (each.numel() for each in model.parameters() if each.requires_grad)
    return _LATER_BYTES * sum(trainable)


def measured_tokens(
    rows: Sequence[Row], batching: Callable[[int], Batching], epochs: int, compute: Compute
) -> int:
    """Tokens of a pack that this process's GPU holds, at most 16,384.

    That many are tried first: where they leave room, which they do on large cards, nothing need be measured.
    `batching` makes that of a size, `compute` is one training pass.
    torch.OutOfMemoryError when not even the longest row alone fits.
    """

    def heaviest(size: int) -> list[Row]:
        return [rows[index] for index in batching(size).heaviest_pack(epochs)]

    free, _ = torch.cuda.mem_get_info()
    available = free + torch.cuda.memory_reserved()
    with suppress(torch.OutOfMemoryError):
        if _peak(_pack_of(heaviest(_MOST)), compute) <= _SHARE * available:
            return _MOST
    size = min(affordable_tokens(*_two_passes(rows, compute), available), _MOST)
    while True:
        chosen = heaviest(size)
        try:
            _peak(_pack_of(chosen), compute)
            return size
        except torch.OutOfMemoryError:
            if len(chosen) == 1:
                raise
        log.event("a pack did not fit, packs get smaller", tokens=size)
        size = max(min(size, sum(map(len, chosen))) * 7 // 8 // _ROUND, 1) * _ROUND


def _two_passes(rows: Sequence[Row], compute: Compute) -> tuple[tuple[int, int], tuple[int, int]]:
    sizes = _PROBES
    while True:
        try:
            _peak(_dense_pack(rows, sizes[0]), compute)  # what is made once is made now
            first, second = ((size, _peak(_dense_pack(rows, size), compute)) for size in sizes)
            return first, second
        except torch.OutOfMemoryError:
            if sizes[0] <= 128:
                raise
        sizes = (sizes[0] // 2, sizes[1] // 2)


def _pack_of(rows: Sequence[Row]) -> Pack:
    return make_pack([(row.prompt, row.answer) for row in rows])


def _dense_pack(rows: Sequence[Row], tokens: int) -> Pack:
    """Two invented rows, of `tokens` tokens together: compilers may take a single one for a special case."""
    return make_pack([dense_row(rows, tokens // 2)] * 2)


def _peak(pack: Pack, compute: Compute) -> int:
    """Most bytes allocated during `compute`."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    compute(pack)
    return torch.cuda.max_memory_allocated()


@contextmanager
def rehearsal(model: torch.nn.Module) -> Iterator[None]:
    """Passes in here are for measuring: random states come back, gradients and cached memory go.

    What the optimizer will hold is held meanwhile.
    """
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        held = torch.empty(later_bytes(model), dtype=torch.uint8, device="cuda") if cuda else None
        try:
            yield
        finally:
            del held
            for parameter in model.parameters():
                parameter.grad = None
            if cuda:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
