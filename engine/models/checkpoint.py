"""Hugging Face checkpoints read whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from peakatlas.engine.errors import ModelError
from peakatlas.engine.hf_logging import quiet

if TYPE_CHECKING:
    from pathlib import Path

NEVER_READ = ("pooler.dense.weight", "pooler.dense.bias", "position_ids", "token_type_ids")
"""Ends of the names of weights that no token vector depends on, or that are made on the spot."""


def read_checkpoint(
    model_class: Any,  # noqa: ANN401 (untyped classes)
    path: Path,
    kind: str,
    *,
    may_lack: tuple[str, ...] = NEVER_READ,
    **options: object,
) -> Any:  # noqa: ANN401
    """Build a Hugging Face model from a local directory, in float32, for inference.

    Parameters
    ----------
    model_class : class
        With ``from_pretrained``.
    path : Path
        Directory with ``config.json`` and safetensors weights.
    kind : str
        Family, for the text of an error.
    may_lack : tuple of str
        Ends of the names of weights that may be absent.
    **options
        Handed to ``from_pretrained``.

    Raises
    ------
    ModelError
        If the weights do not fit the class.
    """
    try:
        with quiet():
            model, info = model_class.from_pretrained(
                path, dtype=torch.float32, output_loading_info=True, local_files_only=True,
                use_safetensors=True, **options,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError, TypeError, ImportError, AttributeError) as fault:
        raise ModelError(f"{path}: cannot be loaded as {kind} checkpoint: {fault}") from fault
    absent = sorted(key for key in info["missing_keys"] if not key.endswith(may_lack))
    if absent or info["mismatched_keys"]:
        wrong = absent or sorted(str(key) for key in info["mismatched_keys"])
        raise ModelError(
            f"{path}: {len(wrong)} weight(s) are absent or misshapen, first {wrong[:5]}. "
            "The checkpoint is not of this family, or is damaged."
        )
    return model.eval()
