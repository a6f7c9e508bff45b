"""Alignment losses equal one-line versions; the weight follows separability."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from peakatlas.classifier.align import (
    class_means_loss,
    class_weights,
    coral_loss,
    domain_separability,
    loss_weights,
    mean_loss,
    mmd_loss,
    proportion_shift,
    reversal_scale,
    reverse_gradient,
)
from peakatlas.classifier.pull import Puller, adversarial_loss


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


def test_class_means_equal_a_loop_over_types_of_both_sides(sides):
    source, target = sides
    known = torch.arange(30) % 4
    guessed = torch.tensor([0, 1, -1, 5] * 5)
    gaps = [source[known == k].mean(0) - target[guessed == k].mean(0) for k in (0, 1)]
    naive = sum((gap**2).mean() for gap in gaps) / 2
    assert class_means_loss(source, known, target, guessed).item() == pytest.approx(naive.item())
    nobody = torch.full((20,), -1)
    assert class_means_loss(source, known, target, nobody).item() == 0


@pytest.mark.parametrize("name", ["coral", "mmd", "class-conditional"])
def test_losses_vanish_for_equal_sides_and_have_gradients(name, sides):
    puller = Puller(5, {name: 2.0})
    types = torch.arange(30) % 2
    same = puller((sides[0], sides[0]), (types, types), 0.5)
    assert same.item() == pytest.approx(0, abs=1e-6)
    source = sides[0].clone().requires_grad_()
    puller((source, sides[1]), (types, types[:20]), 0.5).backward()
    assert torch.isfinite(source.grad).all() and source.grad.abs().sum() > 0


def test_weighted_losses_add_up(sides):
    types = (torch.zeros(30, dtype=torch.int64), torch.zeros(20, dtype=torch.int64))
    parts = {"coral": 0.5, "mmd": 2.0}
    alone = [Puller(5, {n: w})(sides, types, 0).item() for n, w in parts.items()]
    assert Puller(5, parts)(sides, types, 0).item() == pytest.approx(sum(alone), rel=1e-6)


def test_adversarial_gradient_is_reversed_by_hand(sides):
    """For a linear critic the derivative is known: sigmoid minus side, times its weights."""
    critic = torch.nn.Linear(5, 1)
    source, target = (side.clone().requires_grad_() for side in sides)
    loss = adversarial_loss(critic, source, target, 0.3)
    loss.backward()
    weights, bias = critic.weight.detach(), critic.bias.detach()
    for cells, side, sign in ((source, 0, 1), (target, 1, 1)):
        told = torch.sigmoid(cells.detach() @ weights.T + bias)
        gradient = (told - side) * weights / (2 * len(cells))
        torch.testing.assert_close(cells.grad, -0.3 * sign * gradient)
    sigma = [torch.sigmoid(side @ weights.T + bias) for side in sides]
    by_hand = ((sigma[0] * sides[0]).mean(0) + ((sigma[1] - 1) * sides[1]).mean(0)) / 2
    torch.testing.assert_close(critic.weight.grad[0], by_hand)
    entropy = torch.nn.functional.binary_cross_entropy
    ends = [entropy(s, torch.full_like(s, float(k))) for k, s in enumerate(sigma)]
    assert loss.item() == pytest.approx((sum(ends) / 2).item(), rel=1e-5)


def test_reversal_keeps_values_and_grows():
    cells = torch.randn(3, 2)
    torch.testing.assert_close(reverse_gradient(cells, 0.7), cells)
    scales = [reversal_scale(p) for p in (0, 0.1, 0.5, 1)]
    assert scales == pytest.approx([0, 0.4621, 0.9866, 0.9999], abs=1e-4)


def test_losses_are_used_by_name_only_and_alone():
    for name in ("none", "self-training", "adaptive"):
        assert loss_weights(name) == {}
    assert loss_weights("adversarial") == {"adversarial": 1.0}


def test_unknown_loss():
    with pytest.raises(ValueError, match="alignment 'x' is not known; choose one of adaptive, no"):
        loss_weights("x")


def test_shift_is_the_share_that_would_have_to_change_type():
    probabilities = np.array([[0.2, 0.8, 0]] * 5, np.float32)
    assert proportion_shift(np.array([0, 0, 1, 2]), probabilities) == pytest.approx(0.55)


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


def test_class_weights_follow_predicted_proportions():
    reference = np.array([0, 0, 0, 1])
    weights = class_weights(reference, np.array([[0.0, 1.0]] * 10, np.float32))
    assert weights.sum() == pytest.approx(1)
    assert weights[reference == 1].sum() == pytest.approx(0.9 + 0.1 * 0.25)
