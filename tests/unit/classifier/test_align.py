"""Alignment losses equal one-line versions; the weight follows separability."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from peakatlas.classifier.align import (
    adaptive_weight,
    alignment_loss,
    class_weights,
    coral_loss,
    domain_separability,
    mean_loss,
    mmd_loss,
)


@pytest.fixture
def sides():
    torch.manual_seed(0)
    return torch.randn(30, 5), torch.randn(20, 5) * 1.5 + 0.5


def test_coral_equals_naive(sides):
    s, t = (side.numpy() for side in sides)
    naive = np.linalg.norm(np.cov(s.T) - np.cov(t.T), "fro") ** 2 / (4 * 5**2)
    assert coral_loss(*sides).item() == pytest.approx(naive, rel=1e-5)


def test_mean_equals_naive(sides):
    s, t = (side.numpy() for side in sides)
    assert mean_loss(*sides).item() == pytest.approx(
        ((s.mean(0) - t.mean(0)) ** 2).mean(), rel=1e-5
    )


def test_mmd_equals_naive_double_loop(sides):
    cells = torch.cat(sides).numpy().astype(np.float64)
    squares = np.array([[((a - b) ** 2).sum() for b in cells] for a in cells])
    width = squares.sum() / (len(cells) * (len(cells) - 1))
    kernel = sum(np.exp(-squares / (width * s)) for s in (0.25, 0.5, 1, 2, 4))
    n = len(sides[0])
    naive = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
    assert mmd_loss(*sides).item() == pytest.approx(naive, rel=1e-4)


@pytest.mark.parametrize("name", ["coral", "mmd", "coral+mmd", "adaptive"])
def test_losses_vanish_for_equal_sides_and_have_gradients(name, sides):
    loss = alignment_loss(name)
    assert loss(sides[0], sides[0]).item() == pytest.approx(0, abs=1e-6)
    source = sides[0].clone().requires_grad_()
    loss(source, sides[1]).backward()
    assert torch.isfinite(source.grad).all() and source.grad.abs().sum() > 0


def test_none_is_zero(sides):
    assert alignment_loss("none")(*sides).item() == 0


def test_unknown_loss():
    with pytest.raises(ValueError, match="alignment 'x' is not known; choose one of none, coral"):
        alignment_loss("x")


@pytest.mark.parametrize("loss", [coral_loss, mmd_loss, mean_loss])
def test_two_rows_are_needed(loss, sides):
    with pytest.raises(ValueError, match="two cells on each side, not 30 and 1"):
        loss(sides[0], sides[1][:1])


def test_separability():
    rng = np.random.default_rng(0)
    same = rng.normal(size=(400, 4)).astype(np.float32)
    assert domain_separability(same[:200], same[200:]) < 0.6
    assert domain_separability(same[:200], same[200:] + 10) == 1.0
    with pytest.raises(ValueError, match="at least two cells"):
        domain_separability(same, same[:1])


def test_adaptive_weight_rises_from_zero_to_one():
    assert [adaptive_weight(s) for s in (0.5, 0.6, 0.8, 1.0)] == pytest.approx([0, 0, 0.5, 1])


def test_class_weights_follow_predicted_proportions():
    reference = np.array([0, 0, 0, 1])
    weights = class_weights(reference, np.array([[0.0, 1.0]] * 10, np.float32))
    assert weights.sum() == pytest.approx(1)
    assert weights[reference == 1].sum() == pytest.approx(0.9 + 0.1 * 0.25)
