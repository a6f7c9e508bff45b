"""BERT checkpoints with a DNA vocabulary: GROVER (byte pairs), DNABERT (overlapping k-mers)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import BertModel

from .auto import finish_encoder
from .checkpoint import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from peakatlas.engine.spec import Precision

    from .hf_encoder import HfEncoder


def load_bert(path: Path, precision: Precision, device: torch.device) -> HfEncoder:
    """Load a local ``BertForMaskedLM`` or ``BertModel`` directory; its remote code is not used.

    Parameters
    ----------
    path : Path
        Directory with ``config.json`` and safetensors weights.
    precision : {'bf16', 'fp32'}
    device : torch.device

    Returns
    -------
    HfEncoder

    Raises
    ------
    ModelError
        If weights are absent or misshapen, or the self-check fails.

    References
    ----------
    Sanabria et al., Nature Machine Intelligence 2024, doi:10.1038/s42256-024-00872-0 (GROVER).
    Ji et al., Bioinformatics 2021, doi:10.1093/bioinformatics/btab083 (DNABERT).
    """
    model = read_checkpoint(
        BertModel, path, "a BERT", add_pooling_layer=False, attn_implementation="sdpa"
    )
    return finish_encoder(model, precision, device)
