from __future__ import annotations

from types import SimpleNamespace

import pytest

from fingpt.config import TrainConfig
from fingpt.train.batching import Row
from fingpt.train.machine import Machine


@pytest.mark.parametrize(("longest", "said"), [(512, False), (513, True)])
def test_rows_longer_than_the_base_was_made_for_are_counted_once(longest, said, caplog):
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=512))
    rows = tuple(Row("", (1,) * (size - 9), (2,) * 9) for size in (400, longest, longest))
    Machine(TrainConfig(), tiny=True).batching(model, rows, 42, 2, None)
    told = [record.message for record in caplog.records]
    assert len(told) == said
    if said:
        assert "2 of 3 training rows are longer than the 512 positions" in told[0]
        assert "the longest has 513 tokens" in told[0]
        assert "SET=train.max_tokens=512 " in told[0]
