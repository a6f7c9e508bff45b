"""What every loaded model must do before it is used."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

import torch

from peakatlas.engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peakatlas.engine.forward import PackedEncoder

_PROBE_TOKENS = 12


def check_encoder(encoder: PackedEncoder) -> None:
    """Refuse an encoder whose weights or positions cannot be right.

    Checks that all weights are finite, that a sequence's vectors do not depend on its company
    (to the bit on a CPU) and that the order of the tokens matters: uninitialised or absent
    position tables pass silently otherwise.

    Raises
    ------
    ModelError
        Names the check that failed.
    """
    if not all(bool(torch.isfinite(weight).all()) for weight in _tensors(encoder)):
        raise ModelError("self-check: a weight is not finite. The checkpoint is damaged.")
    # No token twice, so that reversal moves every one.
    probe = torch.linspace(0, len(encoder.words) - 1, _PROBE_TOKENS).long().to(encoder.device)
    alone = encoder.hidden(probe, [(1, _PROBE_TOKENS)])
    together = encoder.hidden(torch.cat([probe.flip(0), probe]), [(2, _PROBE_TOKENS)])
    reverse, again = torch.split(together, _PROBE_TOKENS)
    exact = encoder.device.type == "cpu"
    if not (torch.equal(alone, again) if exact else torch.allclose(alone, again, atol=0.05)):
        raise ModelError("self-check: the vectors of a sequence change with its batch.")
    if not bool(torch.isfinite(alone).all()):
        raise ModelError("self-check: the model gives values that are not finite.")
    if torch.allclose(alone, reverse.flip(0), rtol=0, atol=1e-6):
        raise ModelError("self-check: the order of the tokens has no effect; positions are lost.")


def _tensors(part: object) -> Iterator[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from _tensors(item)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _tensors(getattr(part, field.name))
