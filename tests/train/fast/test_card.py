"""What a card lacks is said in the same words for training and evaluation, and so is a fault of their layers."""

from __future__ import annotations

import pytest
import torch

from fingpt.train.fast import card


@pytest.mark.parametrize(
    ("capability", "least", "precision", "says"),
    [
        ((7, 5), card.AMPERE, "bf16", "A card is older than Ampere"),
        ((8, 0), card.AMPERE, "bf16", ""),
        ((8, 9), card.HOPPER, "fp32", "A card is older than Hopper"),
        ((9, 0), card.HOPPER, "bf16", ""),
        ((9, 0), card.HOPPER, "fp32", "the precision is fp32, not bf16"),
    ],
)
def test_what_a_card_lacks_is_told_in_a_few_words(monkeypatch, capability, least, precision, says):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    assert card.lack(least, precision) == says


def test_without_a_gpu_nothing_else_is_asked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert card.lack(card.AMPERE, "fp32") == "there is no GPU"


def test_a_fault_is_one_line_of_what_it_says_or_its_kind():
    assert (
        card.short(RuntimeError("CUDA error:\n  no kernel\timage "))
        == "CUDA error: no kernel image"
    )
    assert card.short(OSError("x" * 300)) == "x" * 200
    assert card.short(ImportError()) == "ImportError"
    assert isinstance(torch.OutOfMemoryError(), card.FAULTS)
