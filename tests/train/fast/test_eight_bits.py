from __future__ import annotations

import pytest
import torch

from fingpt.train.fast.eight_bits import (
    Narrow,
    Rows,
    fp8_product,
    fp8_rows,
    hadamard,
    int8_product,
    int8_rows,
    turned,
)


def whole(rows: Rows) -> torch.Tensor:
    return rows.values.float() * rows.scales[:, None]


@pytest.fixture
def matrix() -> torch.Tensor:
    """Rows of very different sizes, one of them zeros."""
    torch.manual_seed(0)
    found = torch.randn(40, 96) * torch.logspace(-20, 6, 40)[:, None]
    found[7] = 0
    return found


def test_int8_is_half_a_step_off_at_most_and_rounds_halves_up(matrix):
    rows = int8_rows(matrix, turn=False)
    assert ((whole(rows) - matrix).abs() <= rows.scales[:, None] * 0.5001).all()
    assert rows.values[7].abs().max() == 0
    halves = torch.tensor([[127.0, 0.5, -0.5, 1.5, -1.5, 126.5]])
    assert int8_rows(halves, turn=False).values.tolist() == [[127, 1, 0, 2, -1, 127]]


def test_fp8_keeps_four_bits_of_every_number_that_is_not_tiny_beside_its_row(matrix):
    rows = fp8_rows(matrix)
    largest = matrix.abs().amax(1, keepdim=True)
    error = (whole(rows) - matrix).abs()
    assert (error <= torch.maximum(matrix.abs() / 16, largest * 2**-18)).all()
    assert torch.isfinite(whole(rows)).all()


@pytest.mark.parametrize("size", [1, 16, 64])
def test_a_hadamard_matrix_keeps_lengths(size):
    found = hadamard(size, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(found @ found.t(), torch.eye(size))


@pytest.mark.parametrize("columns", [16, 64, 96, 192])
def test_turning_both_factors_keeps_their_product(columns):
    torch.manual_seed(0)
    a, b = torch.randn(5, columns), torch.randn(7, columns)
    assert not torch.allclose(turned(a), a)
    torch.testing.assert_close(turned(a) @ turned(b).t(), a @ b.t(), rtol=1e-5, atol=1e-5)


def test_turning_spares_what_stands_beside_a_large_entry():
    torch.manual_seed(0)
    a, b = torch.randn(30, 128), torch.randn(50, 128)
    a[:, 5] *= 100
    b[:, 5] = 0
    errors = []
    for turn in (False, True):
        found = int8_product(int8_rows(a, turn), int8_rows(b, turn), torch.float32)
        errors.append((found - a @ b.t()).norm())
    assert errors[1] < errors[0] / 2


def test_products_are_those_of_the_numbers_that_8_bits_hold(matrix):
    torch.manual_seed(1)
    other = torch.randn(24, 96)
    for make, product in (
        (fp8_rows, fp8_product),
        (lambda x: int8_rows(x, turn=False), int8_product),
    ):
        a, b = make(matrix), make(other)
        wanted = whole(a).double() @ whole(b).double().t()
        got = product(a, b, torch.float32)
        torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-30)


def test_every_group_gets_what_its_own_adapter_adds():
    torch.manual_seed(2)
    x, weight = torch.randn(6, 64), torch.randn(20, 64)
    p, up = torch.randn(6, 12), torch.randn(20, 4)
    rows, columns = int8_rows(x, turn=True), int8_rows(weight, turn=True)
    plain = int8_product(rows, columns, torch.float32)
    got = int8_product(rows, columns, torch.float32, Narrow(p, up, (8, 14, 20)))
    wanted = torch.cat(
        [part @ own.t() for part, own in zip(p.split(4, 1), up.split([8, 6, 6]), strict=True)],
        1,
    )
    torch.testing.assert_close(got - plain, wanted, rtol=1e-4, atol=1e-4)
