"""Forward pass over packed sequences, without padding.

Tokens of all sequences of a pack go through the linear layers as one matrix; attention is computed
within each sequence. How that is done lies in `cpu` and `cuda`.

Precision ``bf16`` keeps the matrices of the linear layers and the operands of their products in
bfloat16 with float32 accumulation; the residual stream, layer norms, softmax and pooling are
float32. Where a device has no instructions for bfloat16, weights are rounded to it and products
are computed in float32. Precision ``fp32`` is float32 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .cpu import CpuForward
from .cuda import CudaForward
from .plan import make_plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from .blocks import Affine, EncoderShape, Forward
    from .embedding_layer import EmbeddingLayer
    from .linear import Linear
    from .plan import PackPlan


@dataclass(frozen=True, kw_only=True)
class PackedEncoder:
    """A pre-norm transformer encoder (ESM family) that reads packed tokens."""

    shape: EncoderShape
    forward: Forward
    """How the device runs the layers."""
    embedding: EmbeddingLayer
    """Makes vectors of token ids."""
    embedding_norm: Affine | None
    blocks: tuple[Any, ...]
    """Layers as `forward` laid them out."""
    final_norm: Affine
    dim: int
    """Length of a token vector at the end."""
    output: Linear | None = None
    """Affine map, float32, width to dim, of the normed last layer, if the model has one."""

    @property
    def width(self) -> int:
        """Length of a token vector within the layers."""
        return self.shape.width

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.embedding.device

    @property
    def pack_tokens(self) -> int:
        """Tokens of a pack for which the encoder is fastest."""
        return self.forward.pack_tokens(self.shape)

    def plan(
        self,
        ids: NDArray[Any],
        lengths: ArrayLike,
        *,
        real: NDArray[np.bool_] | None = None,
        owner: NDArray[np.int64] | None = None,
    ) -> PackPlan:
        """Work out a pack for this encoder, on the host; see `plan.make_plan`."""
        rows = self.forward.rows(len(ids), self.shape)
        padded = self.forward.pads(self.shape)
        return make_plan(ids, lengths, real=real, owner=owner, n_rows=rows, padded=padded)

    @torch.inference_mode()
    def hidden(self, plan: PackPlan, *, layer: int = -1) -> Tensor:
        """Token vectors of packed sequences.

        Parameters
        ----------
        plan : PackPlan
            On the device of the encoder.
        layer : int
            -1: after the last layer, the final norm and the model's output map; k >= 0: after k
            layers, without them.

        Returns
        -------
        float32, shape (n_rows, dim), or (n_rows, width) for k >= 0
            Anything in filler rows.
        """
        x = self.embedding(plan.ids, plan.position)
        x = x if self.embedding_norm is None else self._norm(x, self.embedding_norm)
        blocks = self.blocks if layer < 0 else self.blocks[:layer]
        x = self.forward.layers(x, blocks, plan, self.shape)
        if layer < 0:
            x = self._norm(x, self.final_norm)
            x = x if self.output is None else self.output(x)
        return x

    @torch.inference_mode()
    def mean(self, hidden: Tensor, plan: PackPlan) -> Tensor:
        """Mean over the real tokens of each sequence, NaN without any; shape (n, dim)."""
        return self.forward.mean(hidden, plan)

    def _norm(self, x: Tensor, norm: Affine) -> Tensor:
        return functional.layer_norm(x, (self.width,), norm.weight, norm.bias, self.shape.eps)


def forward_of(device: torch.device) -> Forward:
    """How layers are run on a device."""
    return CpuForward() if device.type == "cpu" else CudaForward(device)
