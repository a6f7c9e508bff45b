"""What every loaded model must do before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from peakatlas.engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peakatlas.engine.forward.encoder import PackedEncoder

    from .encoder import Encoder

_PROBE_TOKENS = 12
_TOLERANCE = 0.05
"""Of a vector that moves with its batch where no equality to the bit is promised."""
_LEAST_SHIFT = 1e-4
"""Share of the vectors' spread that a changed order must move them by."""


def check_encoder(encoder: PackedEncoder) -> None:
    """Refuse a packed encoder that cannot be right.

    Checks that a sequence's vectors are finite and do not depend on its company (to the bit on a
    CPU), and that the order of the tokens matters: uninitialised or absent position tables pass
    silently otherwise.

    Raises
    ------
    ModelError
        Names the check that failed.
    """
    probe = probe_ids(encoder.embedding.n_ids)
    check_company(encoder, probe, exact=encoder.forward.same_bytes)
    check_positions(encoder, probe)


def probe_ids(n_vocabulary: int) -> torch.Tensor:
    """Some ids from all over the vocabulary, none twice, so that reversal moves every one."""
    n = min(_PROBE_TOKENS, n_vocabulary)
    return torch.linspace(0, n_vocabulary - 1, n).long()


def check_finite(tensors: Iterable[torch.Tensor]) -> None:
    """Refuse weights or buffers that are not finite.

    Raises
    ------
    ModelError
    """
    if not all(bool(torch.isfinite(values).all()) for values in tensors):
        raise ModelError("self-check: a weight is not finite. The checkpoint is damaged.")


def check_company(encoder: Encoder, probe: torch.Tensor, *, exact: bool) -> None:
    """Refuse a model whose vectors of a sequence change with the batch, or from call to call.

    Raises
    ------
    ModelError
    """
    alone = _vectors(encoder, probe)
    again = _vectors(encoder, probe.flip(0), probe)[len(probe) :]
    if not bool(torch.isfinite(alone).all()):
        raise ModelError("self-check: the model gives values that are not finite.")
    near = _TOLERANCE * max(float(alone.std()), 1e-3)
    if not (torch.equal(alone, again) if exact else torch.allclose(alone, again, atol=near)):
        raise ModelError("self-check: the vectors of a sequence change with its batch.")


def check_positions(encoder: Encoder, probe: torch.Tensor) -> None:
    """Refuse a model to which the order of the tokens is nothing.

    Best run on an encoder in float32: rounding alone moves bfloat16 vectors.

    Raises
    ------
    ModelError
    """
    straight, reverse = _vectors(encoder, probe), _vectors(encoder, probe.flip(0))
    shift = float((straight - reverse.flip(0)).abs().max())
    if not shift > _LEAST_SHIFT * max(float(straight.std()), 1.0):
        raise ModelError("self-check: the order of the tokens has no effect; positions are lost.")


def _vectors(encoder: Encoder, *sequences: torch.Tensor) -> torch.Tensor:
    """Token vectors of sequences in one pack, without its filler."""
    plan = encoder.plan(torch.cat(sequences).numpy(), [len(ids) for ids in sequences])
    moved = plan.map(lambda tensor: tensor.to(encoder.device))
    return encoder.hidden(moved)[: plan.n_tokens]
