"""What the embedding learns to say: the k-mers and motifs of a sequence, on few axes.

The spectrum of a window is the share of each 5-mer, one with its reverse complement, and, if motifs
are given, the excess and the affinity of their sites (`motif_bank`). All are sums over bases, so a
window's spectrum is the mean over its tokens, and the same on both strands. Its axes are principal
components over windows of the genome without repeats and of all densities of CG dinucleotides,
where what follows from composition is taken out. What says the same weighs less: each 5-mer and
motif is divided by the cube root of the number of those that it goes with. The axes are rotated at
random, so that no single dimension is more than the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from peakatlas.engine.dna.kmers import UNKNOWN, canonical_columns, kmer_index
from peakatlas.engine.tokens.letters import TOKEN_BASES

from .varied_windows import cpg_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .motif_bank import MotifBank

K = 5
_EDGE = K // 2
_BLOCK, _TOLD = 64, 4096
_WEIGHTS = (0.7, 1.0, 0.3)
"""Of 5-mers, of the excess and of the affinity of sites."""
_CPG_DENSITIES = (0.004, 0.008, 0.014, 0.024, 0.04, 0.07, 0.1)
"""Borders between groups of windows, CG dinucleotides a base."""


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Affine maps from the DNA at a base to its part of the embedding."""

    kmers: Tensor
    """Of the 5-mer centred on a base, float32, shape (4**5 + 1, dim); the last row, a 5-mer with
    an unknown base, is the mean."""
    motifs: Tensor | None
    """Of each motif's excess, then of each one's affinity, float32, shape (2 n_motifs, dim)."""
    offset: Tensor
    """float32, shape (dim,)."""
    bank: MotifBank | None
    variance: float
    """Of a window's target, summed over dimensions."""
    token_variance: float
    """Of a token's target, summed over dimensions."""

    def targets(self, codes: NDArray[np.uint8]) -> Tensor:
        """Targets of tokens, float32, shape (n, n_tokens, dim), of windows of whole tokens.

        Parameters
        ----------
        codes : uint8, shape (n, 6 × n_tokens)
        """
        parts = [self._block(codes[i : i + _BLOCK]) for i in range(0, len(codes), _BLOCK)]
        return torch.cat(parts)

    def _block(self, codes: NDArray[np.uint8]) -> Tensor:
        n, width = codes.shape
        shape = (n, width // TOKEN_BASES, TOKEN_BASES)
        index = torch.from_numpy(kmer_at(codes)).view(*shape)
        total = sum((self.kmers[index[..., i]] for i in range(1, TOKEN_BASES)),
                    self.kmers[index[..., 0]])  # fmt: skip
        if self.motifs is not None and self.bank is not None:
            found = [each.view(*shape, -1).sum(2) for each in self.bank.sites(codes)]
            total = total + torch.cat(found, dim=-1) @ self.motifs
        return total / TOKEN_BASES + self.offset


def fit_spectrum(
    codes: NDArray[np.uint8], bank: MotifBank | None, dim: int, rng: np.random.Generator
) -> Spectrum:
    """Find axes on windows of all compositions.

    Parameters
    ----------
    codes : uint8, shape (n, bp)
        Letter codes of windows without unknown bases, many more than `dim`; see `VariedWindows`.
    bank : MotifBank, optional
    dim : int
        Axes.
    rng : Generator
        Draws the rotation.
    """
    blocks = [canonical_shares(codes)]
    if bank is not None:
        blocks += mean_sites(bank, codes)
    maps = find_axes(blocks, codes, dim)
    maps = maps @ np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    n_kmers = blocks[0].shape[1]
    table = maps[:n_kmers][canonical_columns(K)[0]]
    kmers = np.concatenate([table, table.mean(axis=0, keepdims=True)])
    fitted = Spectrum(
        kmers=torch.from_numpy(kmers.astype(np.float32)),
        motifs=None if bank is None else torch.from_numpy(maps[n_kmers:].astype(np.float32)),
        bank=bank,
        offset=torch.zeros(dim),
        variance=1.0,
        token_variance=1.0,
    )
    told = fitted.targets(codes[:_TOLD])
    return replace(
        fitted,
        offset=-told.mean((0, 1)),
        variance=float(told.mean(1).var(0).sum()),
        token_variance=float(told.flatten(0, 1).var(0).sum()),
    )


def find_axes(
    blocks: list[NDArray[np.float64]], codes: NDArray[np.uint8], dim: int
) -> NDArray[np.float64]:
    """Map from the columns of all blocks to the first principal components, (columns, dim).

    What GC and CG content explain is taken out, and windows of each CG density count alike, so that
    the axes are of what distinguishes sequences of one composition.
    """
    cpg = cpg_counts(codes).astype(np.float64)
    gc, log_cpg = ((codes == 1) | (codes == 2)).mean(axis=1), np.log1p(cpg)
    design = np.stack([np.ones_like(gc), gc, gc**2, log_cpg, log_cpg**2, gc * log_cpg], axis=1)
    groups, member = np.unique(
        np.digitize(cpg / codes.shape[1], _CPG_DENSITIES), return_inverse=True
    )
    scaled, scales = [], []
    for block in blocks:
        rest = block - design @ np.linalg.lstsq(design, block, rcond=None)[0]
        spread = [rest[member == g].std(axis=0) + 1e-9 for g in range(len(groups))]
        scales.append(np.exp(np.mean(np.log(spread), axis=0)))
        scaled.append(rest / scales[-1])
    power = (np.concatenate(scaled, axis=1) ** 2).mean(axis=1)
    level = np.sqrt(np.bincount(member, power) / np.bincount(member))
    scaled = [values / level[member][:, None] for values in scaled]
    weights = [w * sparing(v) for w, v in zip(_WEIGHTS, scaled, strict=False)]
    weighted = np.concatenate([v * w for v, w in zip(scaled, weights, strict=True)], axis=1)
    vectors = np.linalg.eigh(weighted.T @ weighted / len(weighted))[1][:, : -dim - 1 : -1]
    scale = np.concatenate([w / s for w, s in zip(weights, scales, strict=True)])
    return np.asarray(vectors * scale[:, None])


def mean_sites(bank: MotifBank, codes: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Mean excess and mean affinity over the bases of each window, each of shape (n, motifs)."""
    found = np.empty((2, len(codes), len(bank.names)))  # laid out first: keeps the heap whole
    for first in range(0, len(codes), _BLOCK):
        rows = slice(first, first + _BLOCK)
        for kind, each in zip(found, bank.sites(codes[rows]), strict=True):
            kind[rows] = each.mean(1).numpy()
    return list(found)


def sparing(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of each standardised column: less for those that go together; squares sum to 1."""
    alike = (values.T @ values / len(values)) ** 2
    total = alike.sum(axis=1)
    weights = np.where(total > 0, np.maximum(total, 1e-12) ** (-1 / 3), 0.0)
    return np.asarray(weights / np.linalg.norm(weights))


def kmer_at(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index of the 5-mer centred on each base, 4**5 where a base of it is unknown, (n, bp)."""
    padded = np.pad(codes, ((0, 0), (_EDGE, _EDGE)), constant_values=UNKNOWN)
    index = kmer_index(padded, K).astype(np.int64)
    return np.where(index < 0, 4**K, index)


def canonical_shares(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Canonical 5-mers a base, float64, shape (n, columns)."""
    column, n_columns = canonical_columns(K)
    column = np.append(column, n_columns)
    flat = column[kmer_at(codes)] + (n_columns + 1) * np.arange(len(codes))[:, None]
    counts = np.bincount(flat.ravel(), minlength=len(codes) * (n_columns + 1))
    return np.asarray(counts.reshape(len(codes), -1)[:, :n_columns] / codes.shape[1])
