"""Binding motifs of regulators, and how often they stand in a stretch of DNA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 6
"""Letters looked up at once when a sequence is scored."""
LEAK = 0.08
"""Probability that a site of the motif has a letter which the consensus does not allow."""

_LETTERS = "ACGT"
_IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T",
    "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Motif:
    """A regulator and the consensus of its sites."""

    name: str
    """Gene symbol of the regulator (AP1 for the dimer)."""
    consensus: str
    """Sites as IUPAC letters, 5' to 3'; simplified from the source."""
    source: str
    """Where the sites were described."""


MOTIFS = (
    Motif(name="GATA1", consensus="WGATAAR",
          source="Merika and Orkin 1993, Mol Cell Biol 13:3999"),
    Motif(name="KLF1", consensus="CCMCRCCCW",
          source="Miller and Bieker 1993, Mol Cell Biol 13:2776"),
    Motif(name="SPI1", consensus="AAAGAGGAAGTG",
          source="Heinz et al. 2010, Mol Cell 38:576"),
    Motif(name="CEBPA", consensus="RTTGCGYAAY",
          source="Osada et al. 1996, J Biol Chem 271:3891"),
    Motif(name="IRF8", consensus="GAAASYGAAASY",
          source="Tanaka et al. 1993, Mol Cell Biol 13:4531"),
    Motif(name="EBF1", consensus="ATTCCCNNGGGAAT",
          source="Travis et al. 1993, Mol Cell Biol 13:3392"),
    Motif(name="PAX5", consensus="CANTGNAGCGTGAC",
          source="Czerny et al. 1993, Genes Dev 7:2048"),
    Motif(name="TCF7", consensus="SCTTTGATS",
          source="van de Wetering et al. 1997, Cell 88:789"),
    Motif(name="RUNX1", consensus="TGYGGTYW",
          source="Meyers et al. 1993, Mol Cell Biol 13:6336"),
    Motif(name="TBX21", consensus="TTTCACACCT",
          source="Kispert and Herrmann 1993, EMBO J 12:3211"),
    Motif(name="ETS1", consensus="ACCGGAAGT",
          source="Wei et al. 2010, EMBO J 29:2147"),
    Motif(name="AP1", consensus="TGASTCA",
          source="Angel et al. 1987, Cell 49:729"),
    Motif(name="CTCF", consensus="CCASYAGRKGGCRS",
          source="Kim et al. 2007, Cell 128:1231"),
)  # fmt: skip


def allowed_letters(code: str) -> str:
    """Letters that an IUPAC code stands for.

    Parameters
    ----------
    code : str
        One upper-case letter.

    Raises
    ------
    KeyError
        If it is not an IUPAC code.

    Examples
    --------
    >>> allowed_letters("W"), allowed_letters("A")
    ('AT', 'A')
    """
    return _IUPAC[code]


def weights(consensus: str, background: NDArray[np.float64]) -> NDArray[np.float64]:
    """Position weight matrix of a consensus, in bits.

    Each position holds ``log2(p / background)`` with ``p = (1 - LEAK) / k`` for the k letters
    that the consensus allows and ``LEAK / (4 - k)`` for the others.

    Parameters
    ----------
    consensus : str
        IUPAC letters.
    background : float64, shape (4,)
        Share of A, C, G, T.

    Returns
    -------
    float64, shape (len(consensus), 4)

    Raises
    ------
    KeyError
        If a letter is not an IUPAC code.

    References
    ----------
    Stormo GD. DNA binding sites: representation and discovery. Bioinformatics 2000;16:16-23.
    """
    allowed = np.array([[letter in _IUPAC[code] for letter in _LETTERS] for code in consensus])
    k = allowed.sum(axis=1, keepdims=True)
    inside = np.where(k == 4, 1.0, 1 - LEAK) / k
    outside = LEAK / np.maximum(4 - k, 1)
    probability = np.where(k == 4, background, np.where(allowed, inside, outside))
    return np.asarray(np.log2(probability / background), np.float64)


def reverse_complement(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same matrix for the other strand, shape (n_positions, 4)."""
    return matrix[::-1, ::-1]


def score(codes: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Score of the motif at every start, looked up six letters at a time.

    Parameters
    ----------
    codes : uint8, shape (n,)
        Letter codes of DNA, as from `letter_tokens.letter_codes`.
    matrix : float64, shape (n_positions, 4)

    Returns
    -------
    float32, shape (n - n_positions + 1,)
        Bits; -inf where a letter is unknown.

    Examples
    --------
    >>> from peakatlas.engine.tokens.letters import letter_codes
    >>> dna = letter_codes(np.frombuffer(b"TTTGATAAGCC", np.uint8))
    >>> matrix = weights("WGATAAR", np.full(4, 0.25))
    >>> int(score(dna, matrix).argmax())
    2
    """
    n_starts = len(codes) - len(matrix) + 1
    words = _words(codes)
    total = np.zeros(n_starts, np.float32)
    for first in range(0, len(matrix), BLOCK):
        table = _word_scores(matrix[first : first + BLOCK])
        total += table[words[first : first + n_starts]]
    return total


def strongest_sites(
    codes: NDArray[np.uint8], consensus: str, *, bp_per_site: int
) -> NDArray[np.int64]:
    """Centres of the strongest sites of a motif on both strands.

    The threshold is the lowest score at which sites are at most one in `bp_per_site`; scores of a
    consensus come in few levels, so there may be fewer, but never none.

    Parameters
    ----------
    codes : uint8, shape (n,)
        Letter codes of DNA, as from `letter_tokens.letter_codes`.
    consensus : str
        IUPAC letters.
    bp_per_site : int
        Length of DNA in bp with one site on average.

    Returns
    -------
    int64, shape (n_sites,)
        Offsets into `codes`, ascending.
    """
    known = codes[codes < 4]
    matrix = weights(consensus, np.bincount(known, minlength=4) / len(known))
    both = np.maximum(score(codes, matrix), score(codes, reverse_complement(matrix)))
    levels, counts = np.unique(np.round(both, 1), return_counts=True)
    at_least = counts[::-1].cumsum()[::-1]
    rare_enough = at_least <= len(codes) / bp_per_site
    threshold = levels[np.argmax(rare_enough) if rare_enough.any() else -1]
    return np.flatnonzero(np.round(both, 1) >= threshold) + len(consensus) // 2


def _words(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Number in base 4 of the six letters from each place on; 4096 when one is unknown."""
    padded = np.concatenate([codes, np.zeros(BLOCK - 1, np.uint8)])
    words = np.zeros(len(codes), np.int16)
    unknown = np.zeros(len(codes), np.bool_)
    for offset in range(BLOCK):
        letters = padded[offset : offset + len(codes)]
        words = (words * 4 + (letters & 3)).astype(np.int16)
        unknown |= letters > 3
    words[unknown] = 4**BLOCK
    return words


def _word_scores(block: NDArray[np.float64]) -> NDArray[np.float32]:
    """Score of every six-letter word under up to six positions, shape (4097,)."""
    digits = np.arange(4**BLOCK)[:, None] // 4 ** np.arange(BLOCK - 1, -1, -1) % 4
    table = np.full(4**BLOCK + 1, -np.inf, np.float32)
    table[:-1] = block[np.arange(len(block)), digits[:, : len(block)]].sum(axis=1)
    return table
