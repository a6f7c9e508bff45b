"""Peak speeds of GPUs as their makers state them: dense, without sparsity."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from peakatlas.engine.spec import Precision

# Part of the name that CUDA gives a card: TFLOP/s in bfloat16 (tensor cores) and in float32.
_TFLOPS: dict[str, tuple[float, float]] = {
    "GB200": (2500, 80), "B200": (2250, 80), "GH200": (989, 67), "H200": (989, 67),
    "H200 NVL": (835, 60), "H100 NVL": (835, 60), "H100 PCIe": (756, 51), "H100": (989, 67),
    "H800": (989, 67), "A100": (312, 19.5), "A800": (312, 19.5), "A30": (165, 10.3),
    "A10": (125, 31.2), "A10G": (70, 31.2), "A40": (150, 37.4), "L40S": (362, 91.6),
    "L40": (181, 90.5), "L4": (121, 30.3), "RTX 6000 Ada": (364, 91.1),
    "RTX 4090": (165, 82.6), "RTX 3090": (71, 35.6), "V100": (15.7, 15.7), "T4": (8.1, 8.1),
}  # fmt: skip


def datasheet_flops(device: torch.device, precision: Precision) -> float | None:
    """Operations a second that the maker states for a device, None where that is not known.

    V100 and T4 have no products of bfloat16, which are computed in float32 there.
    """
    if device.type != "cuda":
        return None
    return named_flops(torch.cuda.get_device_name(device), precision)


def named_flops(name: str, precision: Precision) -> float | None:
    """The same by the name of a card.

    Examples
    --------
    >>> named_flops("NVIDIA H100 80GB HBM3", "bf16"), named_flops("Radeon", "bf16")
    (989000000000000.0, None)
    >>> named_flops("NVIDIA RTX A4000", "bf16")  # not an A40
    """
    fits = [part for part in _TFLOPS if re.search(rf"\b{part}\b", name)]
    if not fits:
        return None
    return _TFLOPS[max(fits, key=len)][0 if precision == "bf16" else 1] * 1e12
