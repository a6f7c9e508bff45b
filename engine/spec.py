"""What makes two embeddings comparable, as one digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from .documents import as_model
from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

Precision = Literal["bf16", "fp32"]
Pooling = Literal["mean", "cls"]
Strand = Literal["forward", "both"]

LARGEST_DIM = 1 << 16
"""Most values of an embedding."""
UNKNOWN_WINDOW = "unknown"
"""Window rule of vectors that were made elsewhere: no sequence belongs to them."""
MAX_N_FRACTION = 0.5
"""Default of `EmbeddingSpec.max_n_fraction`. With the shipped model and 500 real peaks, windows cut
short by N were nearest to their own whole window in 98 % (N fraction 0.2), 67 % (0.5), 51 % (0.6)
and 16 % (0.8) of cases: beyond one half, the vector no longer says which peak it is."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec:
    """Identity of an embedding: rows of different specs are never mixed.

    Identity are the weights, the tokenizer and the rules. The model's name is for people: two
    specs that differ in nothing else are equal and have one digest.

    Raises
    ------
    ModelError
        If `max_n_fraction` is not from 0 to 1, or `dim` not from 1 to `LARGEST_DIM`.
    """

    model: str = field(compare=False)
    """Name or hub id of the model; for a local folder, the folder's name. Not part of identity."""
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
    """Window rule, ``centre:<bp>`` or ``peak:<max bp>:<overlap bp>``; clipped at contig ends. Or
    `UNKNOWN_WINDOW`."""
    precision: Precision = "bf16"
    """Precision of the forward pass; pooling is always float32."""
    config_sha256: str = ""
    """SHA-256 of the model's configuration and, where it runs any, of its remote code, hex."""
    max_n_fraction: float = 1.0
    """A window with a greater share of letters that are not A, C, G or T is left out; a peak that
    has no other window is masked. The default is that of specs written without this field."""

    def __post_init__(self) -> None:
        if not 1 <= self.dim <= LARGEST_DIM:
            raise ModelError(f"dim {self.dim} is not from 1 to {LARGEST_DIM}")
        if not 0 <= self.max_n_fraction <= 1:
            raise ModelError(f"max_n_fraction {self.max_n_fraction} is not from 0 to 1")

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all fields that make the identity, hex."""
        identity = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = "the spec") -> EmbeddingSpec:
        """Inverse of `to_json`; keys that are absent take their defaults, unknown ones are refused.

        Parameters
        ----------
        values : mapping
        where : str
            Named in errors.

        Raises
        ------
        TypeError
            If a key is unknown.
        ModelError
            If a value has another type or is out of range, or one without a default is absent.
        """
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise TypeError(f"{where} has keys that are unknown: {', '.join(unknown)}")
        return as_model(dict(values), cls, where, ModelError)

    def difference(self, other: EmbeddingSpec) -> str:
        """Fields of the identity that differ, ``name: this != other``, comma separated.

        The models' names come first where the weights differ.
        """
        differ = [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
        return ", ".join(
            f"{name}: {getattr(self, name)} != {getattr(other, name)}"
            for name in differ
            if name != "model" or "weights_sha256" in differ
        )
