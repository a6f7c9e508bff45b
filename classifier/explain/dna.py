"""Which words of DNA and which motifs stand out in the elements that carry a type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.kmers import kmer_index, reverse_complements
from peakatlas.engine.dna.motifs import MOTIFS, allowed_letters, strongest_sites
from peakatlas.engine.dna.peak_fasta import PeakFasta
from peakatlas.engine.tokens.letters import letter_codes

from .elements import element_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.dna.sequences import Sequences

DNA_COLUMNS = (
    "type",
    "kind",
    "pattern",
    "motif",
    "markers_with",
    "markers",
    "others_with",
    "others",
    "fold",
    "p_value",
    "fdr",
)
OTHERS_A_MARKER = 5
MOST_OTHERS = 20_000
MOST_WORDS = 2**28
"""Elements times words in the table of who has what, at most."""
BP_PER_SITE = 2_000
GC_BINS, KNOWN_BINS = 10, 3
FEWEST_KNOWN = 50


@dataclass(frozen=True, eq=False)
class _Elements:
    """DNA of elements; those with too few known bases are left out by `usable`.

    Parameters
    ----------
    dna : Sequences, length n
    """

    dna: Sequences

    @property
    def codes(self) -> NDArray[np.uint8]:
        return letter_codes(self.dna.data)

    def strata(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Stratum of GC share and known bases of each element, and which have enough of these."""
        codes, owner = self.codes, self.owner()
        known = np.bincount(owner[codes < 4], minlength=len(self.dna))
        rich = np.bincount(owner[(codes == 1) | (codes == 2)], minlength=len(self.dna))
        usable = known >= FEWEST_KNOWN
        gc = _bins(rich / np.maximum(known, 1), GC_BINS, usable)
        size = _bins(known.astype(np.float64), KNOWN_BINS, usable)
        return np.asarray(gc * KNOWN_BINS + size, np.int64), usable

    def owner(self) -> NDArray[np.int64]:
        """Which element each letter is of."""
        return np.repeat(np.arange(len(self.dna)), np.diff(self.dna.offsets))

    def words(self, k: int) -> NDArray[np.bool_]:
        """Which words each element has on either strand, shape (n, 4**k): by the lesser word."""
        word, owner = kmer_index(self.codes, k), self.owner()
        first, last = owner[: len(word)], owner[len(owner) - len(word) :]
        whole = (word >= 0) & (first == last)
        word = word[whole]
        has = np.zeros((len(self.dna), 4**k), np.bool_)
        has[first[whole], np.minimum(word, reverse_complements(k)[word])] = True
        return has

    def sites(self) -> NDArray[np.bool_]:
        """Which of `MOTIFS` each element has, shape (n, n_motifs)."""
        gaps = self.dna.offsets[1:]
        apart = np.insert(self.codes, gaps, 4)
        has = np.zeros((len(self.dna), len(MOTIFS)), np.bool_)
        for column, motif in enumerate(MOTIFS):
            centres = strongest_sites(apart, motif.consensus, bp_per_site=BP_PER_SITE)
            has[np.searchsorted(gaps + np.arange(len(gaps)), centres, side="left"), column] = True
        return has


def enriched_kmers(
    bundle: Bundle,
    genome: str | Path | SequenceSource,
    *,
    k: int = 6,
    top: int = 500,
    max_fdr: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Words of DNA and motifs that stand out in the marker elements of each type.

    Markers are the `top` elements of a type (`marker_elements`). They are compared with up to five
    times as many elements whose weight for it is not above 0, drawn from the same bins of GC share
    and of known bases. An element has a word if either strand does; it has a motif if its site is
    among the strongest (one in 2,000 bp of all these elements). One-sided hypergeometric test; the
    false discovery rate is over the words, or the motifs, of one type. Of a large bundle 20,000
    other elements are looked at, and for words of 8 bp 4,096.

    Parameters
    ----------
    bundle : Bundle
    genome : path of a FASTA (a genome, or one record a peak), or SequenceSource
        Of the bundle's elements; a FASTA of peaks may hold some of them, which alone are read.
    k : int
        Length of the words in bp, 4 to 8.
    top : int
        Markers a type, at most.
    max_fdr : float
        Largest false discovery rate of the rows given; 1 for all.
    seed : int
        Of the draw of other elements.

    Returns
    -------
    pandas.DataFrame
        ``type, kind`` (``kmer`` or ``motif``), ``pattern`` (word, or consensus in IUPAC letters),
        ``motif`` (regulator; of a word, those whose consensus allows it), ``markers_with, markers,
        others_with, others`` (elements), ``fold`` (of the shares, half an element added to each),
        ``p_value, fdr``; types in the order of ``bundle.types``, motifs first, best first.

    Raises
    ------
    GenomeError
        If the genome lacks an element, or a FASTA of peaks holds none.
    ValueError
        If `k` or `top` is out of range.

    References
    ----------
    Benjamini & Hochberg (1995), Controlling the False Discovery Rate; Heinz et al. (2010),
    doi:10.1016/j.molcel.2010.05.004, for the comparison with GC-matched elements.

    Examples
    --------
    >>> import peakatlas
    >>> bundle = peakatlas.Bundle.load("bundle")
    >>> found = peakatlas.enriched_kmers(bundle, "hg38.fa.gz", k=4, top=5, max_fdr=1)
    >>> sorted(set(found["kind"])), set(found["type"]) <= set(bundle.types)
    (['kmer', 'motif'], True)
    """
    if not 4 <= k <= 8:
        raise ValueError(f"k must be 4 to 8, not {k}")
    if top < 1:
        raise ValueError(f"top must be 1 or more, not {top}")
    scores, rng = element_scores(bundle), np.random.default_rng(seed)
    source = open_genome(genome) if isinstance(genome, str | Path) else genome
    held = _held(source, bundle)
    markers = [best[held[best]] for best in (scores.best(c, top) for c in range(len(bundle.types)))]
    chosen = _with_others(markers, np.flatnonzero(held), min(MOST_OTHERS, MOST_WORDS // 4**k), rng)
    elements = _Elements(source.fetch(bundle.peaks.take(chosen)))
    found = _Patterns(elements, k)
    parts = []
    for code, name in enumerate(bundle.types):
        speaks = scores.weight[chosen, code] > 0
        parts.append(found.compared(np.isin(chosen, markers[code]), ~speaks, rng).assign(type=name))
    table = pd.concat(parts, ignore_index=True)
    table["type"] = pd.Categorical(table["type"], categories=list(bundle.types))
    return table.loc[table["fdr"] <= max_fdr, list(DNA_COLUMNS)].reset_index(drop=True)


def _held(source: SequenceSource, bundle: Bundle) -> NDArray[np.bool_]:
    """Elements of the bundle with DNA in `source`: all of a genome, some of a FASTA of peaks."""
    if not isinstance(source, PeakFasta):
        return np.ones(len(bundle.peaks), np.bool_)
    held = source.holds(bundle.peaks)
    if not held.any():
        source.check(bundle.peaks)  # says which are absent
    return held


class _Patterns:
    """What words and motifs elements have."""

    def __init__(self, elements: _Elements, k: int) -> None:
        self._stratum, self._usable = elements.strata()
        words, sites = elements.words(k), elements.sites()
        seen = np.flatnonzero(words.any(axis=0))
        names = [_letters(int(word), k) for word in seen]
        self._parts = (
            ("motif", [m.consensus for m in MOTIFS], [m.name for m in MOTIFS], sites),
            ("kmer", names, [_named(name) for name in names], words[:, seen]),
        )

    def compared(
        self, marker: NDArray[np.bool_], other: NDArray[np.bool_], rng: np.random.Generator
    ) -> pd.DataFrame:
        """Markers against others of the same strata, best first."""
        inside = np.flatnonzero(marker & self._usable)
        outside = _matched(
            self._stratum, inside, np.flatnonzero(other & ~marker & self._usable), rng
        )
        tables = []
        for kind, patterns, motifs, has in self._parts:
            table = _enriched(has[inside], has[outside])
            table = table.assign(kind=kind, pattern=patterns, motif=motifs)
            tables.append(table.sort_values(["p_value", "fold"], ascending=[True, False]))
        return pd.concat(tables, ignore_index=True)


def _with_others(
    markers: list[NDArray[np.int64]],
    elements: NDArray[np.int64],
    most: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """All markers, and so many other elements drawn by chance that memory stays bounded."""
    wanted = np.unique(np.concatenate(markers))
    rest = np.setdiff1d(elements, wanted)
    return np.sort(np.concatenate([wanted, rng.permutation(rest)[:most]]))


def _matched(
    stratum: NDArray[np.int64],
    inside: NDArray[np.int64],
    outside: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Others whose strata are as frequent as those of the markers."""
    codes, wanted = np.unique(stratum[inside], return_counts=True)
    pools = [rng.permutation(outside[stratum[outside] == code]) for code in codes]
    pairs = [(len(pool) / n, pool, n) for pool, n in zip(pools, wanted, strict=True) if len(pool)]
    ratio = min(OTHERS_A_MARKER, max(1.0, min((r for r, _, _ in pairs), default=1.0)))
    return np.sort(
        np.concatenate([pool[: int(np.ceil(ratio * n))] for _, pool, n in pairs] or [outside[:0]])
    )


def _enriched(inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> pd.DataFrame:
    """Test of each column being more frequent inside."""
    n_in, n_out = len(inside), len(outside)
    here, there = inside.sum(axis=0), outside.sum(axis=0)
    p_value = hypergeom.sf(here - 1, n_in + n_out, here + there, n_in)
    p_value = np.clip(np.nan_to_num(p_value, nan=1.0), 0, 1)
    return pd.DataFrame(
        {
            "markers_with": here,
            "markers": n_in,
            "others_with": there,
            "others": n_out,
            "fold": ((here + 0.5) / (n_in + 1)) / ((there + 0.5) / (n_out + 1)),
            "p_value": p_value,
            "fdr": false_discovery_control(p_value) if len(p_value) else p_value,
        }
    )


def _bins(values: NDArray[np.float64], n_bins: int, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Quantile bin of each value, by the usable ones."""
    if not usable.any():
        return np.zeros(len(values), np.int64)
    edges = np.quantile(values[usable], np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), values, side="right").astype(np.int64)


def _letters(word: int, k: int) -> str:
    return "".join("ACGT"[word // 4 ** (k - 1 - place) % 4] for place in range(k))


def _named(word: str) -> str:
    """Regulators of whose consensus this word, on either strand, is a part."""
    strands = (word, word[::-1].translate(str.maketrans("ACGT", "TGCA")))
    return ",".join(
        motif.name for motif in MOTIFS if any(_fits(strand, motif.consensus) for strand in strands)
    )


def _fits(word: str, consensus: str) -> bool:
    """Whether a word is allowed by consecutive letters of a consensus, N aside.

    Examples
    --------
    >>> _fits("TTATCA", "WGATAAR"), _fits("TGATAA", "WGATAAR")
    (False, True)
    """
    allowed = [allowed_letters(code) for code in consensus]
    starts = range(len(consensus) - len(word) + 1)
    return any(
        all(
            letter in allowed[start + i] and len(allowed[start + i]) < 4
            for i, letter in enumerate(word)
        )
        for start in starts
    )
