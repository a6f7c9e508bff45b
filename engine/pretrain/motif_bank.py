"""Binding motifs of transcription factors as scanning filters.

Matrices are read in the format of JASPAR's downloads (`>ID name`, then a row of counts for each of
A, C, G, T). A site counts in two ways: by its excess, the bits by which its log-odds score is above
a threshold that one in a thousand places of random DNA of the genome passes (softly, so that a site
at the threshold counts a little), and by its affinity, the root of how likely it is to be bound
beside the motif's best site. The excess tells all sites there are, the affinity the strong ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from peakatlas.engine.dna.kmers import UNKNOWN
from peakatlas.engine.errors import ModelError
from peakatlas.engine.intervals.text_files import read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BASES = "ACGT"
PASSED_BY = 1e-3
"""Share of places of random DNA, on one strand, that reach a motif's threshold."""
_PSEUDOCOUNT = 1.0
_NUMBERS = re.compile(r"[-+0-9.eE]+")


def read_motifs(path: Path) -> dict[str, NDArray[np.float64]]:
    """Count matrices by ``ID name``, each of shape (4, width), rows A, C, G, T.

    Raises
    ------
    ModelError
        If the file is not in JASPAR's format, or holds no motif.

    References
    ----------
    Rauluseviciute et al. 2024, doi:10.1093/nar/gkad1059 (JASPAR 2024).
    """
    motifs: dict[str, NDArray[np.float64]] = {}
    text = "\n".join(read_lines(path, "a file in JASPAR format", ModelError))
    for block in text.split(">")[1:]:
        title, *rows = [line for line in block.split("\n") if line.strip()] or [""]
        letters = "".join(row.strip()[:1] for row in rows)
        values = [[float(x) for x in _NUMBERS.findall(row.strip()[1:])] for row in rows]
        if letters != BASES or len({len(row) for row in values}) != 1 or not values[0]:
            raise ModelError(
                f"{path}: motif {title!r} has not four rows of counts named A, C, G, T and of one "
                "length. Give a file in JASPAR format."
            )
        motifs[" ".join(title.split())] = np.array(values)
    if not motifs:
        raise ModelError(f"{path}: no motif found. Give a file in JASPAR format.")
    return motifs


@dataclass(frozen=True, kw_only=True)
class MotifBank:
    """Motifs ready to scan."""

    names: tuple[str, ...]
    filters: Tensor
    """Log-odds in bits, both strands, centred, bfloat16, shape (2 n, width × 5); an unknown base
    scores as the mean of the four."""
    thresholds: Tensor
    """Scores that one in a thousand places passes, float32, shape (2 n,)."""
    best: Tensor
    """Scores of the best sites, float32, shape (2 n,)."""

    @classmethod
    def build(
        cls, motifs: dict[str, NDArray[np.float64]], background: NDArray[np.uint8]
    ) -> MotifBank:
        """Make filters and set thresholds on random windows.

        Parameters
        ----------
        motifs : dict of name to counts, shape (4, width)
        background : uint8, shape (n, bp)
            Letter codes of random windows.
        """
        share = np.bincount(background.ravel(), minlength=5)[:4] / (background < UNKNOWN).sum()
        share = (share + share[::-1]) / 2  # both strands
        scores = [log_odds(counts, share) for counts in motifs.values()]
        width = max(each.shape[1] for each in scores) | 1
        forward = np.stack([centred(each, width) for each in scores])
        reverse = forward[:, ::-1, ::-1]  # a site has its centre at one base on both strands
        stranded = np.concatenate([forward, reverse])
        unknown = np.einsum("b,mbw->mw", share, stranded)[:, None]
        both = torch.from_numpy(np.concatenate([stranded, unknown], axis=1).transpose(0, 2, 1))
        filters = both.contiguous().flatten(1).to(torch.bfloat16)
        best = torch.tensor([each.max(axis=0).sum() for each in scores]).float().repeat(2)
        bare = cls(names=tuple(motifs), filters=filters, thresholds=torch.zeros(0), best=best)
        found = bare.scores(background)[:, width:-width, : len(scores)].flatten(0, 1)
        rank = max(1, round(PASSED_BY * len(found)))
        limits = found.topk(rank, dim=0).values[-1]
        return replace(bare, thresholds=limits.repeat(2))

    @property
    def width(self) -> int:
        """Bases that a filter spans."""
        return self.filters.shape[1] // (UNKNOWN + 1)

    def scores(self, codes: NDArray[np.uint8]) -> Tensor:
        """Log-odds at the centre of each place, bits, float32, shape (n, bp, 2 motifs)."""
        edge = self.width // 2
        padded = np.pad(codes, ((0, 0), (edge, edge)), constant_values=UNKNOWN)
        letters = functional.one_hot(torch.from_numpy(padded).long(), UNKNOWN + 1)
        seen = letters.to(torch.bfloat16).unfold(1, self.width, 1).transpose(2, 3).flatten(2)
        return functional.linear(seen, self.filters).float()

    def sites(self, codes: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Excess in bits and affinity, of 1 at most a strand, about each base, both strands summed.

        Each float32, shape (n, bp, motifs).
        """
        scores, n = self.scores(codes), len(self.names)
        excess = functional.softplus(scores - self.thresholds)
        affinity = torch.exp2((scores - self.best) / 2)
        return excess[..., :n] + excess[..., n:], affinity[..., :n] + affinity[..., n:]


def log_odds(counts: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bits by which each base of a motif is likelier than by chance, shape (4, width)."""
    raised = counts + _PSEUDOCOUNT * share[:, None]
    odds = raised / raised.sum(axis=0) / share[:, None]
    return np.asarray(np.log2(odds), np.float32)


def centred(scores: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Scores with zeros on both sides, shape (4, width)."""
    before = (width - scores.shape[1]) // 2
    return np.pad(scores, ((0, 0), (before, width - scores.shape[1] - before)))
