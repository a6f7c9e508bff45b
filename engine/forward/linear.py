"""Linear layers for the packed forward: weights laid out for the kernel, epilogues fused.

With oneDNN, the weights are reordered once into the blocks that its kernel reads, and bias,
activation and gate are applied while a block of the product is still in registers. A row of the
product then does not depend, bit for bit, on the other rows nor on the number of threads, as long
as there is more than one row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Activation = Literal["none", "gelu", "swish"]

# Number of rows that the weights are laid out for; any other number works as well.
_TYPICAL_ROWS = 1536
# Elements below which an element-wise CPU kernel stays on one thread (at::internal::GRAIN_SIZE).
_GRAIN = 32_768


class Linear(Protocol):
    """``activation(x Wᵀ + b)``; x and the result have the dtype of the weight."""

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Apply to x, shape (n_rows, n_in)."""
        ...


class OneDnnLinear:
    """A linear layer of oneDNN.

    Parameters
    ----------
    weight : bfloat16 or float32, shape (n_out, n_in)
        Copied.
    bias : same dtype, shape (n_out,), optional
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        reorder = torch.ops.mkldnn._reorder_linear_weight
        self._weight: Tensor = reorder(weight.contiguous(), _TYPICAL_ROWS)
        self._bias = bias

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Apply to x, shape (n_rows, n_in), at least two rows."""
        apply = torch.ops.mkldnn._linear_pointwise.default
        algorithm = "none" if activation == "gelu" else ""
        result: Tensor = apply(x, self._weight, self._bias, activation, [], algorithm)
        return result


class PlainLinear:
    """A linear layer of PyTorch, on any device.

    Parameters
    ----------
    weight : shape (n_out, n_in)
    bias : shape (n_out,), optional
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Apply to x, shape (n_rows, n_in)."""
        result = functional.linear(x, self._weight, self._bias)
        if activation == "none":
            return result
        kernel = {"gelu": torch.ops.aten.gelu_, "swish": torch.ops.aten.silu_}[activation]
        return _in_place(kernel, result)


def make_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """Build the fastest layer that there is for these weights on this machine."""
    return (OneDnnLinear if has_onednn(weight.device, weight.dtype) else PlainLinear)(weight, bias)


def has_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN computes with this dtype on this device."""
    available: Callable[[], bool] = torch.backends.mkldnn.is_available
    if device.type != "cpu" or not available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _in_place(activation: Callable[[Tensor], object], x: Tensor) -> Tensor:
    """Apply an activation so that no thread's share ends in elements that do not fill a vector.

    Kernels compute those with another formula, whose last bit differs. A piece of `threads` whole
    grains is split evenly; a smaller piece of at most one grain is not split at all.
    """
    threads = torch.get_num_threads()
    for piece in torch.split(x.view(-1), threads * _GRAIN):
        whole = len(piece) == threads * _GRAIN
        for part in (piece,) if whole else torch.split(piece, _GRAIN):
            activation(part)
    return x
