"""ModernBERT checkpoints with a DNA vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import ModernBertModel

from .auto import finish_encoder
from .checkpoint import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from peakatlas.engine.spec import Precision

    from .hf_encoder import HfEncoder


def load_modernbert(path: Path, precision: Precision, device: torch.device) -> HfEncoder:
    """Load a local ``ModernBertForMaskedLM`` or ``ModernBertModel`` directory.

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
    Warner et al., Smarter, better, faster, longer, arXiv:2412.13663.
    """
    model = read_checkpoint(ModernBertModel, path, "a ModernBERT", attn_implementation="sdpa")
    return finish_encoder(model, precision, device)
