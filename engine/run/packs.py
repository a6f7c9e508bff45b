"""Tokens of many sequences in, one vector a sequence out, pack by pack.

Plans are made in the thread that prepares; on a GPU every pack of a block is launched before the
first is there, and the thread that consumes waits for the vectors.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.packing import pack
from peakatlas.engine.forward.pooling import first_token

from .transfer import transfer_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.forward.plan import PackPlan
    from peakatlas.engine.models.encoder import LoadedModel
    from peakatlas.engine.spec import Pooling
    from peakatlas.engine.tokens.token_ids import Tokens

    from .transfer import Fetched, Transfer

_TIMED_RUNS = 3
_LEAST_TOKENS = 1024
"""Least budget of tokens that running out of memory leads to."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Sequences of one strand and the packs that they go through the model in."""

    tokens: Tokens
    plans: list[PackPlan]
    token_budget: int
    """Most tokens in one of them."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """Sequences of one strand whose vectors are computed, or will be."""

    tokens: Tokens
    packs: list[tuple[NDArray[np.int64], Fetched]]
    """Rows of each pack and their vectors."""


class PackRunner:
    """A model with all that is needed to run packs through it.

    Parameters
    ----------
    model : LoadedModel
    pooling : {'mean', 'cls'}
    layer : int
        As in `Encoder.hidden`.
    dim : int
        Length of a vector.
    token_budget : int
        Most tokens in one pack; halved when the device runs out of memory.
    transfer : Transfer, optional
        How packs reach the device; that of the device if not given.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        pooling: Pooling,
        layer: int,
        dim: int,
        token_budget: int,
        transfer: Transfer | None = None,
    ) -> None:
        self.token_budget = token_budget
        self._model, self._encoder = model, model.encoder
        self._pooling, self._layer, self._dim = pooling, layer, dim
        self._transfer = transfer or transfer_of(model.encoder.device)

    @property
    def on_device(self) -> bool:
        """Whether packs leave the host."""
        return self._encoder.device.type != "cpu"

    def plan(self, tokens: Tokens) -> Planned:
        """Divide sequences into packs and work each out, on the host."""
        lengths = tokens.lengths
        return Planned(
            token_budget=self.token_budget,
            tokens=tokens,
            plans=[
                self._plan(tokens, lengths[rows], rows) for rows in pack(lengths, self.token_budget)
            ],
        )

    def launch(self, planned: Planned) -> Launched:
        """Run every pack; on a GPU it works on after this returns, as nothing waits.

        Raises
        ------
        ModelError
            If the device has too little memory for the smallest packs.
        """
        if planned.token_budget > self.token_budget:  # planned before memory ran out
            planned = self.plan(planned.tokens)
        try:
            packs = [self._run(plan) for plan in planned.plans]
        except torch.OutOfMemoryError:
            self._halve_budget()
        else:
            return Launched(tokens=planned.tokens, packs=packs)
        # outside the handler, whose traceback holds what the failed attempt allocated
        torch.cuda.empty_cache()
        return self.launch(planned)

    def collect(self, launched: Launched) -> NDArray[np.float32]:
        """One vector a sequence, on the host, shape (m, dim)."""
        out = np.empty((len(launched.tokens), self._dim), np.float32)
        for rows, vectors in launched.packs:
            out[rows] = vectors.numpy()
        return out

    def n_real(self, tokens: Tokens) -> NDArray[np.int64]:
        """Tokens of each sequence that count in a mean, shape (m,)."""
        before = np.concatenate([[0], np.cumsum(self._model.real[tokens.ids])])
        return np.asarray(np.diff(before[tokens.offsets]), np.int64)

    def flops(self, tokens: Tokens) -> float:
        """Floating-point operations that sequences take."""
        return self._model.flops(tokens.lengths)

    def seconds(self, tokens: Tokens) -> float:
        """Time that one pack takes, its copies included, in s: the least of a few.

        Raises
        ------
        torch.OutOfMemoryError
            If the device has no room for it.
        """
        plan = self._plan(tokens, tokens.lengths, np.arange(len(tokens)))
        best = np.inf
        for _ in range(_TIMED_RUNS):  # the first one compiles kernels
            began = time.perf_counter()
            self._run(plan)[1].numpy()
            best = min(best, time.perf_counter() - began)
        return best

    def _plan(
        self, tokens: Tokens, lengths: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> PackPlan:
        ids = tokens.take(rows)
        plan = self._encoder.plan(ids, lengths, real=self._model.real[ids], owner=rows)
        return self._transfer.stage(plan)

    def _run(self, plan: PackPlan) -> tuple[NDArray[np.int64], Fetched]:
        return plan.owner, self._transfer.fetch(self._pooled(self._transfer.send(plan)))

    def _pooled(self, plan: PackPlan) -> torch.Tensor:
        """Pooled vectors of one pack, float32, shape (n, dim), on the device."""
        hidden = self._encoder.hidden(plan, layer=self._layer)
        mean = self._encoder.mean(hidden, plan).float()
        if self._pooling == "mean":
            return mean
        return torch.where(mean.isnan(), mean, first_token(hidden, plan))

    def _halve_budget(self) -> None:
        if self.token_budget <= _LEAST_TOKENS:
            raise ModelError(
                f"{self._encoder.device} has too little free memory for packs of "
                f"{self.token_budget} tokens. Free some, or take a smaller model."
            )
        self.token_budget = max(_LEAST_TOKENS, self.token_budget // 2)
