"""What goes to a device and comes back is the same, and a pass is under way before the one before it is waited for."""

from __future__ import annotations

import pytest
import torch

from fingpt.eval import packed, scoring_fast
from fingpt.eval.ahead import Result, numbers, there

CPU = torch.device("cpu")


def test_numbers_go_and_come_back_as_they_are():
    sent = numbers([3, 1, 2], CPU, torch.int32)
    assert sent.dtype == torch.int32
    assert Result(there(sent.double()[:, None], CPU)).wait() == [[3.0], [1.0], [2.0]]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_pass_is_under_way_before_the_one_before_it_is_waited_for(rows, monkeypatch):
    seen: list[str] = []

    class Noted(Result):
        def __init__(self, found):
            super().__init__(found)
            self.number = int(found[0])
            seen.append(f"begun {self.number}")

        def wait(self):
            seen.append(f"waited {self.number}")
            return super().wait()

    monkeypatch.setattr(packed, "PACK_TOKENS", 1)
    monkeypatch.setattr(scoring_fast, "Result", Noted)
    scoring = scoring_fast.FastScoring.__new__(scoring_fast.FastScoring)
    monkeypatch.setattr(scoring, "_states", lambda pack, _: pack.ids, raising=False)
    found = list(
        scoring._passes(
            "base",
            list(range(rows)),
            lambda row: packed.Document((row, 0), 1),
            None,
            lambda _, states: states[:1],
        )
    )
    assert [(list(some), values) for some, values in found] == [
        ([row], [row]) for row in range(rows)
    ]
    wanted = ["begun 0"]
    for row in range(1, rows):
        wanted += [f"begun {row}", f"waited {row - 1}"]
    assert seen == [*wanted, f"waited {rows - 1}"]
