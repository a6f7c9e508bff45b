"""Everything that shapes a pretraining run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from peakatlas.engine.errors import ModelError
from peakatlas.engine.models.letter_network import LetterConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of `training.Pretraining`; written into the model's pretraining.json."""

    context_tokens: int = 85
    """Tokens of six bases in a training window."""
    network: LetterConfig = field(default_factory=LetterConfig)
    minibatch: int = 64
    """Windows a step."""
    clean_windows: int = 12
    """Windows of a step of which nothing is hidden. They and as many others teach the embedding
    and are varied ones (`VariedWindows`); the rest are drawn from the genome as it is."""
    steps: int = 7500
    warmup: int = 200
    """Steps of linear warm-up; cosine decay to 2 % of the peak follows."""
    learning_rate: float = 3e-3
    """Of AdamW, for filters, heads and norms."""
    muon_learning_rate: float = 0.02
    """Of Muon, for the matrices of the layers and the stem."""
    weight_decay: float = 0.01
    mask_rate: float = 0.15
    """Share of tokens that are hidden and predicted."""
    embedding_weight: float = 4.0
    """Of the embedding's loss beside that of masked tokens, in nats."""
    spectrum_windows: int = 8192
    """Windows on which the axes of the embedding are found."""
    eval_windows: int = 1024
    eval_every: int = 250
    """Steps between held-out losses, each with a checkpoint."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.clean_windows < self.minibatch:
            raise ModelError(
                f"clean_windows {self.clean_windows}: twice that is not from 2 to below the "
                f"minibatch {self.minibatch}"
            )
        if not 0 < self.mask_rate < 1 or self.steps < 1:
            raise ModelError(f"mask_rate {self.mask_rate} or steps {self.steps} out of range")

    def share_of_peak(self, step: int) -> float:
        """Learning rate of a step as a share of the peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return float(0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
