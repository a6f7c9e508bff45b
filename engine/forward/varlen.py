"""Attention within the sequences of a pack on a GPU, by fused kernels.

Without padding where PyTorch has a kernel for that and the card can run it; elsewhere padded to
the longest sequence, by indices that the plan brought along.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from .blocks import EncoderShape
    from .plan import PackPlan

# Flash attention needs Ampere or later, bfloat16 (here), and heads of a multiple of 8 up to 256.
_CAPABILITY, _HEAD_STEP, _MOST_HEAD_DIM = (8, 0), 8, 256


@dataclass(frozen=True)
class VarlenKernel:
    """`torch.nn.attention.varlen.varlen_attn` and how it is to be called."""

    call: Callable[..., Any]
    options: Mapping[str, Any]

    def takes(self, shape: EncoderShape) -> bool:
        """Whether the kernel runs with the dtype and the heads of an encoder."""
        fits = shape.head_dim % _HEAD_STEP == 0 and shape.head_dim <= _MOST_HEAD_DIM
        return fits and shape.dtype == torch.bfloat16


def varlen_kernel(device: torch.device) -> VarlenKernel | None:
    """The kernel without padding, if this PyTorch and this device have one that runs."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _CAPABILITY:
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 (since PyTorch 2.10)
    except ImportError:
        return None
    return runnable_kernel(varlen_attn, device)


def runnable_kernel(call: Callable[..., Any], device: torch.device) -> VarlenKernel | None:
    """How a function like `varlen_attn` can be called on a device, found by trying.

    One split is preferred, as a sequence's sums then do not depend on how many others there are.
    Some versions know that option only for some of their kernels; those without it do not split.
    """
    known = signature(call).parameters
    if "scale" not in known:
        return None
    choices = [{"num_splits": 1}, {}] if "num_splits" in known else [{}]
    kernels = (VarlenKernel(call, options) for options in choices)
    return next((kernel for kernel in kernels if _runs(kernel, device)), None)


def _runs(kernel: VarlenKernel, device: torch.device) -> bool:
    """Whether a call gives what it must: the mean of equal rows is any one of them."""
    rows = torch.ones(8, 2, 16, dtype=torch.bfloat16, device=device)
    bounds = torch.tensor([0, 3, 8], dtype=torch.int32, device=device)
    try:
        mixed = kernel.call(rows, rows, rows, bounds, bounds, 5, 5, scale=0.25, **kernel.options)
    except (RuntimeError, TypeError, ValueError):
        return False
    return bool(torch.allclose(mixed, rows, atol=0.01))


def varlen_attention(
    kernel: VarlenKernel, query: Tensor, key: Tensor, value: Tensor, plan: PackPlan, scale: float
) -> Tensor:
    """Attention within each sequence, without padding.

    Parameters
    ----------
    kernel : VarlenKernel
    query, key, value : shape (n_rows, n_heads, head_dim)
    plan : PackPlan
        On the same device.
    scale : float
        Factor of the products of query and key.

    Returns
    -------
    shape (n_rows, n_heads, head_dim)
        Anything in filler rows.
    """
    longest = plan.longest
    mixed: Tensor = kernel.call(
        query, key, value, plan.bounds, plan.bounds, longest, longest, scale=scale, **kernel.options
    )
    return mixed


def padded_attention(
    query: Tensor, key: Tensor, value: Tensor, plan: PackPlan, scale: float
) -> Tensor:
    """The same as `varlen_attention` by padding to the longest sequence.

    Raises
    ------
    ValueError
        If the plan was made without the indices for it.
    """
    if plan.grid is None or plan.place is None:
        raise ValueError("the plan has no indices to pad by: make it with padded=True")
    grid, rows = plan.grid, plan.grid.flatten()
    n, longest = grid.shape

    def spread(part: Tensor) -> Tensor:
        return part.index_select(0, rows).view(n, longest, *part.shape[1:]).transpose(1, 2)

    mask = None if plan.inside is None else plan.inside[:, None, None, :]
    out = functional.scaled_dot_product_attention(
        spread(query), spread(key), spread(value), attn_mask=mask, scale=scale
    )
    return out.transpose(1, 2).flatten(0, 1).index_select(0, plan.place)
