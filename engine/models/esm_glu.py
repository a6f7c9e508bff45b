"""Nucleotide Transformer v2 checkpoints: ESM with rotary positions and a SwiGLU feed-forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import EsmModel

from .esm import build_encoder, load_hf

if TYPE_CHECKING:
    from pathlib import Path

    from peakatlas.engine.forward.encoder import PackedEncoder
    from peakatlas.engine.spec import Precision


class _GluIntermediate(nn.Module):
    def __init__(self, dim: int, ffn: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, 2 * ffn, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        gate, value = torch.chunk(self.dense(hidden), 2, dim=-1)
        return nn.functional.silu(gate) * value


class EsmGluModel(EsmModel):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """`EsmModel` with the feed-forward of Nucleotide Transformer v2.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, doi:10.1038/s41592-024-02523-z.
    Shazeer, GLU variants improve transformer, arXiv:2002.05202.
    """

    def __init__(self, config: Any, add_pooling_layer: bool = False) -> None:  # noqa: ANN401
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        layers: Any = self.encoder.layer
        for layer in layers:
            layer.intermediate = _GluIntermediate(config.hidden_size, config.intermediate_size)
            layer.output.dense = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call, unused-ignore]


def load_esm_glu(path: Path, precision: Precision, device: torch.device) -> PackedEncoder:
    """Load a local Nucleotide Transformer v2 directory; its remote code is not used.

    Parameters
    ----------
    path : Path
        Directory with ``config.json`` and safetensors weights.
    precision : {'bf16', 'fp32'}
    device : torch.device

    Returns
    -------
    PackedEncoder

    Raises
    ------
    ModelError
        If weights are absent or misshapen, or the self-check fails.
    """
    return build_encoder(load_hf(EsmGluModel, path), precision, device, gated=True)
