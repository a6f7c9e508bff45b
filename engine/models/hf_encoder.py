"""Any Hugging Face encoder behind the interface of the packed one.

Sequences of equal length go through the model together, so that none needs padding. On a CPU the
batches of one length have one size, the last filled up: a matrix product's kernel, and with it the
last bit, then does not depend on how many sequences happen to have that length. On a GPU the model
runs under autocast, so that its attention finds the fused kernels for bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.linear import operand_dtype
from peakatlas.engine.forward.plan import make_plan
from peakatlas.engine.forward.pooling import reduced_mean, segment_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from peakatlas.engine.forward.plan import PackPlan
    from peakatlas.engine.spec import Precision

# Tokens of one batch: enough for the matrix products of a CPU, few enough for its caches.
_BATCH_TOKENS = {"cpu": 512, "cuda": 65_536}
_PACK_TOKENS = 65_536


@dataclass(frozen=True, kw_only=True)
class HfEncoder:
    """A Hugging Face encoder that reads batches of sequences of equal length."""

    model: nn.Module
    """In evaluation mode, on its device."""
    dim: int
    """Length of a token vector."""
    n_layers: int
    """Layers whose outputs the model may be asked for."""
    autocast: bool = False
    """Whether products run in bfloat16 by autocast, not by the layers themselves."""

    @property
    def width(self) -> int:
        """Length of a token vector within the layers: the same."""
        return self.dim

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return next(self.model.parameters()).device

    @property
    def pack_tokens(self) -> int:
        """Tokens of a pack: many, so that there are several sequences of each length."""
        return _PACK_TOKENS

    def plan(
        self,
        ids: NDArray[Any],
        lengths: ArrayLike,
        *,
        real: NDArray[np.bool_] | None = None,
        owner: NDArray[np.int64] | None = None,
    ) -> PackPlan:
        """Work out a pack, on the host; see `plan.make_plan`."""
        return make_plan(ids, lengths, real=real, owner=owner)

    @torch.inference_mode()
    def hidden(self, plan: PackPlan, *, layer: int = -1) -> torch.Tensor:
        """Token vectors of packed sequences.

        Parameters
        ----------
        plan : PackPlan
            On the device of the model.
        layer : int
            -1: the last, after the final norm; k >= 0: after k layers.

        Returns
        -------
        float32, shape (n_tokens, dim)

        Raises
        ------
        ModelError
            If the model does not give that layer, or vectors of another shape.
        """
        parts, first = [plan.ids.new_empty((0, self.dim), dtype=torch.float32)], 0
        for n, length in plan.groups:
            past = first + n * length
            parts.append(self._group(plan.ids[first:past].view(n, length).long(), layer))
            first = past
        return torch.cat(parts)

    @torch.inference_mode()
    def mean(self, hidden: torch.Tensor, plan: PackPlan) -> torch.Tensor:
        """Mean over the real tokens of each sequence, NaN without any; shape (n, dim)."""
        if hidden.device.type == "cpu":
            return segment_mean(hidden, plan.real, plan.groups)
        return reduced_mean(hidden, plan)

    def _group(self, ids: torch.Tensor, layer: int) -> torch.Tensor:
        size = max(1, _BATCH_TOKENS[self.device.type] // ids.shape[1])
        done = []
        for batch in torch.split(ids, size):
            lack = size - len(batch) if self.device.type == "cpu" else 0
            filled = torch.cat([batch, batch[-1:].expand(lack, -1)]) if lack else batch
            done.append(self._run(filled, layer)[: len(batch)])
        return torch.cat(done).flatten(0, 1).float()

    def _run(self, ids: torch.Tensor, layer: int) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            vectors = _last(self.model(ids)) if layer < 0 else self._inner(ids, layer)
        if vectors is None or vectors.shape != (*ids.shape, self.dim):
            shape = None if vectors is None else tuple(vectors.shape)
            raise ModelError(
                f"the model gives token vectors of shape {shape} for layer {layer}; "
                f"{(*ids.shape, self.dim)} is needed. It cannot be used here, or not by this layer."
            )
        return vectors

    def _inner(self, ids: torch.Tensor, layer: int) -> torch.Tensor | None:
        try:
            output: Any = self.model(ids, output_hidden_states=True)
        except TypeError as fault:
            raise ModelError(f"the model does not give its layers ({fault}). Use -1.") from fault
        layers = getattr(output, "hidden_states", None)
        if not isinstance(layers, tuple | list) or layer >= len(layers):
            return None
        return layers[layer] if isinstance(layers[layer], torch.Tensor) else None


class MixedLinear(nn.Module):
    """A linear layer whose product is in bfloat16 and whose result has the dtype of its input.

    Norms, softmax and the residual stream around it stay in float32.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.detach().to(torch.bfloat16), requires_grad=False)
        bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Product in bfloat16 with float32 accumulation."""
        return functional.linear(x.to(torch.bfloat16), self.weight, self.bias).to(x.dtype)


def set_precision(model: nn.Module, precision: Precision, *, autocast: bool = False) -> None:
    """Round the linear layers of a float32 model in place where `precision` is ``bf16``.

    Parameters
    ----------
    model : nn.Module
        On its device.
    precision : {'bf16', 'fp32'}
    autocast : bool
        Whether the model will run under autocast, which needs no layers of another class.
    """
    if precision == "fp32":
        return
    device = next(model.parameters()).device
    in_fp32 = operand_dtype(precision, device) == torch.float32
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is not nn.Linear:
                continue
            if autocast or in_fp32:
                child.to(torch.bfloat16).to(torch.float32 if in_fp32 else torch.bfloat16)
            else:
                setattr(parent, name, MixedLinear(child))


def linear_weights(model: nn.Module) -> int:
    """Weights of the linear layers that every token goes through; pooler and heads left out."""
    return sum(
        part.weight.numel()
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear | MixedLinear) and not name.startswith(("pooler", "lm_head"))
    )


def _last(output: Any) -> torch.Tensor | None:  # noqa: ANN401 (model outputs are untyped)
    named = getattr(output, "last_hidden_state", None)
    if named is None and isinstance(output, tuple | list) and len(output):
        named = output[0]
    return named if isinstance(named, torch.Tensor) else None
