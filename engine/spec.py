"""What makes two embeddings comparable, as one digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Precision = Literal["bf16", "fp32"]
Pooling = Literal["mean", "cls"]
Strand = Literal["forward", "both"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec:
    """Identity of an embedding: rows of different specs are never mixed."""

    model: str
    """Name or hub id of the model."""
    weights_sha256: str
    """SHA-256 of the weight file(s), hex."""
    tokenizer_sha256: str
    """SHA-256 of the vocabulary, hex."""
    dim: int
    """Length of one embedding."""
    layer: int = -1
    """Hidden layer that is pooled; -1 is the last, after the final layer norm."""
    pooling: Pooling = "mean"
    """Mean over real tokens (no special tokens), or the CLS token."""
    strand: Strand = "forward"
    """Forward strand, or the mean of both strands."""
    window: str
    """Window rule, ``centre:<bp>`` or ``peak:<max bp>:<overlap bp>``; clipped at contig ends."""
    precision: Precision = "bf16"
    """Precision of the forward pass; pooling is always float32."""

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all fields, hex."""
        return hashlib.sha256(
            json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EmbeddingSpec:
        """Inverse of `to_json`; unknown keys are refused by the constructor."""
        return cls(**values)

    def difference(self, other: EmbeddingSpec) -> str:
        """Fields in which two specs differ, ``name: this != other``, comma separated."""
        return ", ".join(
            f"{f.name}: {getattr(self, f.name)} != {getattr(other, f.name)}"
            for f in fields(self)
            if getattr(self, f.name) != getattr(other, f.name)
        )
