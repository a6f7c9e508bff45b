"""Any other encoder that `transformers.AutoModel` can build, by remote code if that is trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from accelerate import init_empty_weights
from transformers import AutoModel

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.linear import operand_dtype, sum_in_float32
from peakatlas.engine.hf_logging import quiet

from .checkpoint import read_checkpoint
from .checks import check_company, check_finite, check_positions, probe_ids
from .hf_encoder import HfEncoder, set_precision

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from peakatlas.engine.spec import Precision


def load_auto(
    path: Path, precision: Precision, device: torch.device, *, trust_remote_code: bool = False
) -> HfEncoder:
    """Load a local directory with the class that its configuration names.

    Parameters
    ----------
    path : Path
        Directory with ``config.json``, safetensors weights and perhaps the model's own code.
    precision : {'bf16', 'fp32'}
    device : torch.device
    trust_remote_code : bool
        Whether the code in the directory may be run.

    Returns
    -------
    HfEncoder

    Raises
    ------
    ModelError
        If weights are absent or misshapen, or the self-check fails.
    """
    model = read_checkpoint(AutoModel, path, "an AutoModel", trust_remote_code=trust_remote_code)
    return finish_encoder(model, precision, device, trust_remote_code=trust_remote_code)


def finish_encoder(
    model: Any,  # noqa: ANN401 (an untyped class)
    precision: Precision,
    device: torch.device,
    *,
    trust_remote_code: bool = False,
) -> HfEncoder:
    """Check a float32 model, set its precision and put it behind the encoder's interface.

    Raises
    ------
    ModelError
        If the self-check fails.
    """
    config = model.config
    n_vocabulary = len(model.get_input_embeddings().weight)
    sum_in_float32(device)
    autocast = device.type == "cuda" and operand_dtype(precision, device) == torch.bfloat16
    encoder = HfEncoder(
        model=model.to(device),
        dim=int(_first(config, "hidden_size", "d_model", "n_embd")),
        n_layers=int(_first(config, "num_hidden_layers", "n_layer", "n_layers")),
    )
    _check_buffers(model, trust_remote_code)
    check_finite([*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())])
    probe = probe_ids(n_vocabulary)
    check_positions(encoder, probe)
    set_precision(model, precision, autocast=autocast)
    encoder = replace(encoder, autocast=autocast)
    check_company(encoder, probe, exact=False)
    return encoder


def _check_buffers(model: nn.Module, trust_remote_code: bool) -> None:
    """Refuse tables, such as rotary frequencies, that are not what the constructor makes.

    A buffer that is not stored is made by the constructor; loading may leave it uninitialised
    with no error.
    """
    stored = set(model.state_dict())
    made = {name: table for name, table in model.named_buffers() if name not in stored}
    if not made:
        return
    config: Any = model.config
    auto: Any = AutoModel
    with quiet(), init_empty_weights(include_buffers=False):
        fresh = auto.from_config(config, trust_remote_code=trust_remote_code)
    expected = dict(fresh.named_buffers())
    wrong = [
        name
        for name, table in made.items()
        if name in expected and not _same(table, expected[name])
    ]
    if wrong:
        raise ModelError(
            f"self-check: {len(wrong)} table(s) that the model's constructor makes came back "
            f"changed from loading, first {wrong[:5]}. Its code does not fit this version of "
            "transformers; install the one that it was written for."
        )


def _same(table: torch.Tensor, expected: torch.Tensor) -> bool:
    if expected.is_meta:
        return True
    return table.shape == expected.shape and torch.allclose(
        table.detach().cpu().float(), expected.float(), equal_nan=True
    )


def _first(config: object, *names: str) -> int:
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    raise ModelError(f"the model's configuration has none of {', '.join(names)}")
