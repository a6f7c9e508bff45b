"""The models by name: where they come from, what they are, and how they may be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PACKAGED = Path(__file__).parent

Family = Literal["peaklm", "esm", "esm-glu", "bert", "modernbert", "auto"]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What there is to know about a model before it is loaded."""

    name: str
    """Name at the command line and in the embedding spec."""
    loader: Family
    """Which loader reads it: `peaklm` (the shipped model and others that `peakatlas pretrain`
    made), `esm` (NT v1), `esm-glu` (NT v2), `bert` (GROVER, DNABERT), `modernbert`, or `auto`
    (whatever `transformers.AutoModel` builds)."""
    family: str
    """Family in words."""
    source: str
    """Hugging Face hub id, or local directory."""
    revision: str
    """Hub revision (the commit, once fetched), or version of the shipped model."""
    licence: str
    """SPDX name."""
    context_tokens: int
    """Longest input in tokens, CLS included."""
    dim: int
    """Length of an embedding."""
    n_parameters: int
    """Parameters of the encoder (nominal for hub models)."""
    default_window: str = "centre:510"
    """Window rule when none is asked for; widths divisible by 6 avoid single-base tokens."""
    non_commercial: bool = False
    """Whether the licence forbids commercial use."""
    citation: str = ""
    """What to cite for the model, if that is known."""


def _nt(hub_name: str, *, dim: int, n_parameters: int, v2: bool = False) -> ModelCard:
    return ModelCard(
        name=hub_name,
        loader="esm-glu" if v2 else "esm",
        family="Nucleotide Transformer v2" if v2 else "Nucleotide Transformer v1",
        source=f"InstaDeepAI/{hub_name}",
        revision="main",
        licence="CC-BY-NC-SA-4.0",
        context_tokens=2048 if v2 else 1000,
        dim=dim,
        n_parameters=n_parameters,
        default_window="centre:1002",
        non_commercial=True,
        citation="Dalla-Torre et al., Nature Methods 2025, doi:10.1038/s41592-024-02523-z",
    )


_CARDS = (
    ModelCard(
        name="peaklm-v3",
        loader="peaklm",
        family="peakatlas language model",
        source=str(PACKAGED / "peaklm-v3"),
        revision="3",
        licence="MIT",
        context_tokens=256,
        dim=64,
        n_parameters=2_840_448,
    ),
    _nt("nucleotide-transformer-500m-human-ref", dim=1280, n_parameters=480_000_000),
    _nt("nucleotide-transformer-500m-1000g", dim=1280, n_parameters=480_000_000),
    _nt("nucleotide-transformer-2.5b-1000g", dim=2560, n_parameters=2_550_000_000),
    _nt("nucleotide-transformer-2.5b-multi-species", dim=2560, n_parameters=2_550_000_000),
    _nt("nucleotide-transformer-v2-50m-multi-species", dim=512, n_parameters=50_000_000, v2=True),
    _nt("nucleotide-transformer-v2-100m-multi-species", dim=512, n_parameters=100_000_000, v2=True),
    _nt("nucleotide-transformer-v2-250m-multi-species", dim=768, n_parameters=250_000_000, v2=True),
    _nt(
        "nucleotide-transformer-v2-500m-multi-species", dim=1024, n_parameters=500_000_000, v2=True
    ),
)

MODELS: dict[str, ModelCard] = {card.name: card for card in _CARDS}
"""Cards by name, the shipped model first."""
