"""The forward pass on a GPU: large packs, few kernels a layer, and nothing that waits.

Everything that a layer needs to know of the pack lies on the device before the first one runs.
What is not a matrix product or attention is one of four short functions, each fused into one
kernel by `torch.compile`. The code runs on any device, so that it can be checked on a CPU.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .linear import PlainLinear, sum_in_float32
from .pooling import reduced_mean
from .varlen import padded_attention, varlen_attention, varlen_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from .blocks import Affine, EncoderLayer, EncoderShape
    from .linear import Linear
    from .plan import PackPlan

_PACK_TOKENS = 65_536
# Rows of a pack are a multiple of this and of a thirty-second of the power of two below them: few
# different shapes, of which at most a thirty-second is filler.
_ROW_STEP, _SIZES_AN_OCTAVE = 128, 32
# Elements beyond which a kernel needs longer indices, as a power of two.
_INDEX_BITS = 31


@dataclass(frozen=True, kw_only=True)
class CudaBlock:
    """An `EncoderLayer` with one matrix product for query, key and value, and one for `up`."""

    attention_norm: Affine
    qkv: Linear
    attention_out: Linear
    mlp_norm: Affine
    up: Linear
    down: Linear


class CudaForward:
    """Runs packed layers on a GPU.

    Parameters
    ----------
    device : torch.device
    fuse : callable, optional
        Makes one kernel of a function; by default `torch.compile` on a GPU, nothing elsewhere.
    """

    same_bytes = False

    def __init__(
        self,
        device: torch.device,
        *,
        fuse: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> None:
        sum_in_float32(device)
        made = fuse or (Fused if device.type == "cuda" else lambda plain: plain)
        self._kernel = varlen_kernel(device)
        self._norm, self._add_norm = made(_norm), made(_add_norm)
        self._rotate, self._gelu, self._swiglu = made(_rotate), made(_gelu), made(_swiglu)

    def linear(self, layer: Affine) -> Linear:
        """A plain matrix product."""
        return PlainLinear(layer.weight, layer.bias)

    def block(self, layer: EncoderLayer, shape: EncoderShape) -> CudaBlock:
        """Take a layer's matrices as they are."""
        return CudaBlock(
            attention_norm=layer.attention_norm,
            qkv=self.linear(layer.qkv),
            attention_out=self.linear(layer.attention_out),
            mlp_norm=layer.mlp_norm,
            up=self.linear(layer.up),
            down=self.linear(layer.down),
        )

    def rows(self, n_tokens: int, shape: EncoderShape) -> int:
        """Rows of a pack with its filler: one of few sizes."""
        step = max(_ROW_STEP, (1 << max(n_tokens, 1).bit_length() - 1) // _SIZES_AN_OCTAVE)
        return max(step, -(-n_tokens // step) * step)

    def pads(self, shape: EncoderShape) -> bool:
        """Whether there is no kernel here for sequences of several lengths."""
        return self._kernel is None or not self._kernel.takes(shape)

    def pack_tokens(self, shape: EncoderShape) -> int:
        """Tokens of a pack before anything is measured."""
        return _PACK_TOKENS

    def layers(
        self, x: Tensor, blocks: Sequence[CudaBlock], plan: PackPlan, shape: EncoderShape
    ) -> Tensor:
        """Residual stream after some layers, float32, shape (n_rows, width)."""
        if not blocks:
            return x
        rotary = _rotary(plan.position, shape)
        activate = self._swiglu if shape.gated else self._gelu
        norms = [*(block.attention_norm for block in blocks[1:]), None]
        normed = self._norm(x, *_pair(blocks[0].attention_norm), shape.eps, shape.dtype)
        for block, following in zip(blocks, norms, strict=True):
            mixed = self._attend(block.qkv(normed), plan, shape, rotary)
            x, normed = self._add_norm(
                x, block.attention_out(mixed), *_pair(block.mlp_norm), shape.eps, shape.dtype
            )
            change = block.down(activate(block.up(normed)))
            if following is None:
                return x + change
            x, normed = self._add_norm(x, change, *_pair(following), shape.eps, shape.dtype)
        return x

    def mean(self, hidden: Tensor, plan: PackPlan) -> Tensor:
        """Mean over the real tokens of each sequence, NaN without any; shape (n, dim)."""
        return reduced_mean(hidden, plan)

    def _attend(
        self,
        qkv: Tensor,
        plan: PackPlan,
        shape: EncoderShape,
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        parts = qkv.view(len(qkv), 3, shape.n_heads, shape.head_dim)
        both = parts[:, :2] if rotary is None else self._rotate(parts[:, :2], *rotary)
        query, key, value = both[:, 0], both[:, 1], parts[:, 2]
        if plan.grid is None and self._kernel is not None:
            mixed = varlen_attention(self._kernel, query, key, value, plan, shape.scale)
        else:
            mixed = padded_attention(query, key, value, plan, shape.scale)
        return mixed.reshape(len(qkv), shape.width)


class Fused:
    """A function that `torch.compile` makes one kernel of; as it is where that fails.

    One kernel serves any number of rows: the first dimension of arguments with two or more. All
    other sizes are fixed in it. Kernels of one object do not count against those of another, of
    which PyTorch keeps eight and then compiles no more.

    Parameters
    ----------
    plain : callable
    """

    def __init__(self, plain: Callable[..., Any]) -> None:
        known = signature(torch.compile).parameters
        apart: dict[str, Any] = (
            {"isolate_recompiles": True} if "isolate_recompiles" in known else {}
        )
        self._plain = plain
        self._call = torch.compile(plain, dynamic=False, **apart)
        self._compiled: set[tuple[object, ...]] = set()

    def __call__(self, *values: Any) -> Any:  # noqa: ANN401 (those of the function)
        """Run it."""
        try:
            self._free_rows(values)
            return self._call(*values)
        except torch.OutOfMemoryError:
            raise
        except Exception as fault:  # the compilers below raise many kinds
            reason = (str(fault) or type(fault).__name__).splitlines()[0]
            warnings.warn(
                f"torch.compile cannot be used here ({reason}); the model runs without it, "
                "somewhat slower. Install Triton and a C compiler.",
                stacklevel=2,
            )
            self._call = self._plain
            return self._plain(*values)

    def _free_rows(self, values: tuple[Any, ...]) -> None:
        """Leave the number of rows open where a kernel is about to be compiled."""
        kind = tuple(map(_kind, values))
        if kind not in self._compiled:
            self._compiled.add(kind)
            for value in values:
                if isinstance(value, torch.Tensor) and value.ndim > 1:
                    torch._dynamo.maybe_mark_dynamic(value, 0)


def _kind(value: object) -> object:
    """What of an argument a kernel is compiled for."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.dtype, value.numel() >> _INDEX_BITS


def _pair(norm: Affine) -> tuple[Tensor, Tensor | None]:
    return norm.weight, norm.bias


def _norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, dtype: torch.dtype) -> Tensor:
    return functional.layer_norm(x, (x.shape[1],), weight, bias, eps).to(dtype)


def _add_norm(
    x: Tensor, change: Tensor, weight: Tensor, bias: Tensor | None, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """New residual stream and its norm as operand of a product."""
    x = x + change
    return x, functional.layer_norm(x, (x.shape[1],), weight, bias, eps).to(dtype)


def _rotate(both: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the halves of each head, computed in float32; shape (n_rows, 2, n_heads, head_dim)."""
    low, high = both.float().chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1).to(both.dtype)


def _gelu(lifted: Tensor) -> Tensor:
    return functional.gelu(lifted)


def _swiglu(lifted: Tensor) -> Tensor:
    gate, value = lifted.chunk(2, dim=-1)
    return functional.silu(gate) * value


def _rotary(position: Tensor, shape: EncoderShape) -> tuple[Tensor, Tensor] | None:
    """Cosine and sine of each row's angles, float32, shape (n_rows, 1, 1, head_dim / 2)."""
    if shape.rope_base is None:
        return None
    half = torch.arange(0, shape.head_dim, 2, dtype=torch.float32, device=position.device)
    angle = position[:, None, None, None].float() * shape.rope_base ** (-half / shape.head_dim)
    return angle.cos(), angle.sin()
