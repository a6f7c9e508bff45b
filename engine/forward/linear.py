"""Linear layers for the packed forward: weights laid out for the kernel, epilogues fused.

With oneDNN, the weights are reordered once into the blocks that its kernel reads, and bias,
activation and gate are applied while a block of the product is still in registers. A row of the
product then does not depend, bit for bit, on the other rows nor on the number of threads, as long
as there is more than one row.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from peakatlas.engine.spec import Precision

Activation = Literal["none", "gelu", "swish"]
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}

# Number of rows that the weights are laid out for; any other number works as well.
_TYPICAL_ROWS = 1536
# Elements below which an element-wise CPU kernel stays on one thread (at::internal::GRAIN_SIZE).
_GRAIN = 32_768
_BF16_CAPABILITY = (8, 0)


class Linear(Protocol):
    """``activation(x Wᵀ + b)``; x and the result have the dtype of the weight."""

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Apply to x, shape (n_rows, n_in)."""
        ...


class OneDnnLinear:
    """A linear layer of oneDNN, on a CPU.

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
        return result if activation == "none" else self._activate(result, activation)

    def _activate(self, x: Tensor, activation: Activation) -> Tensor:
        return functional.gelu(x) if activation == "gelu" else functional.silu(x)


class PlainCpuLinear(PlainLinear):
    """A linear layer of PyTorch on a CPU: a row's result does not depend on the other rows."""

    def _activate(self, x: Tensor, activation: Activation) -> Tensor:
        kernel = torch.ops.aten.gelu_ if activation == "gelu" else torch.ops.aten.silu_
        return _in_place(kernel, x)


def make_cpu_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """Build the fastest layer that there is for these weights on this CPU."""
    return (OneDnnLinear if has_onednn(weight.dtype) else PlainCpuLinear)(weight, bias)


def has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN computes with this dtype on this CPU."""
    available: Callable[[], bool] = torch.backends.mkldnn.is_available
    if not available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def operand_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Of the operands of matrix products: bfloat16 only where the device multiplies it fast.

    Elsewhere ``bf16`` keeps weights that are rounded to bfloat16 and multiplies in float32.
    """
    if precision == "bf16" and not _multiplies_bf16(device):
        return torch.float32
    return DTYPES[precision]


def rounded(weight: Tensor, precision: Precision, device: torch.device) -> Tensor:
    """A weight on its device: rounded to the precision, in the dtype of the operands."""
    moved = weight.detach().to(device=device, dtype=DTYPES[precision])
    return moved.to(operand_dtype(precision, device)).contiguous()


def sum_in_float32(device: torch.device) -> None:
    """Have a GPU add up products of bfloat16 in float32 throughout, also across parts of a sum."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16 products; without, they are emulated."""
    if platform.machine().lower() in ("x86_64", "amd64", "x86"):
        cpu: Any = torch.cpu
        return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY
    return device.type != "cpu" or cpu_multiplies_bf16()


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
