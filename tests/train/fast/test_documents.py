from __future__ import annotations

import torch

from fingpt.train.fast.documents import PlainAttention, Spans


def borders(*sizes: int) -> torch.Tensor:
    return torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32)


def test_last_rows_of_documents_alone_see_what_they_see_among_all():
    torch.manual_seed(0)
    sizes, tails = (7, 1, 12), (3, 1, 4)
    every, some = borders(*sizes), borders(*tails)
    q, k, v = torch.randn(20, 4, 8), torch.randn(20, 2, 8), torch.randn(20, 2, 8)
    attention = PlainAttention(8**-0.5)
    whole, _ = attention.forward(q, k, v, Spans(every, every, 12, 12))
    rows = torch.cat(
        [torch.arange(stop - n, stop) for stop, n in zip(every[1:].tolist(), tails, strict=True)]
    )
    trimmed, _ = attention.forward(q[rows], k, v, Spans(some, every, 4, 12))
    torch.testing.assert_close(trimmed, whole[rows])
    alone, _ = attention.forward(q[:7], k[:7], v[:7], Spans(borders(7), borders(7), 7, 7))
    torch.testing.assert_close(alone, whole[:7])
    assert not torch.allclose(
        whole[8:], attention.forward(q, k, v, Spans(*[borders(20)] * 2, 20, 20))[0][8:]
    )
