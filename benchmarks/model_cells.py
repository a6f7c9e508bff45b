"""Cell types told by nothing but vectors of the peaks' DNA, with 6-mer counts beside them."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from annotate_data import LABELS, load_dataset
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import peakatlas
from peakatlas.classifier.counts.sparse import binary, inverse_document_frequency, scaled, unit_sums
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.kmers import canonical_columns, kmer_index
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.pretrain.spectrum import Spectrum
from peakatlas.engine.tokens.letters import LetterTokenizer, letter_codes, token_letters

AXES = 50

Vectors = NDArray[np.float32]


def accuracies(
    data: Path,
    embedders: dict[str, peakatlas.Embedder],
    seeds: int,
    spectrum: Spectrum | None = None,
) -> dict[str, dict[str, float]]:
    """Accuracy by each model and by ``kmer6``, and by the same permuted over peaks.

    Parameters
    ----------
    data : Path
        Folder with ``schep2017/``.
    embedders : dict of name to Embedder
    seeds : int
        Seeds of the folds.
    spectrum : Spectrum, optional
        What a model was taught, to be judged as well.
    """
    dataset = load_dataset("schep2017", data)
    peaks = peakatlas.parse_names(dataset.cells.var_names, source="var_names")
    assert dataset.peaks_fasta is not None
    source = open_genome(dataset.peaks_fasta)
    sequences = source.fetch(peaks)
    described = {name: embedder.embed(peaks, source).values for name, embedder in embedders.items()}
    described["kmer6"] = canonical_kmers(sequences, 6)
    if spectrum is not None:
        described["spectrum"] = spectrum_means(sequences, spectrum)
    order = np.random.default_rng(0).permutation(len(peaks))
    found = {}
    for name, vectors in described.items():
        axes = whitened(vectors, sequences)
        found[name] = cell_accuracy(dataset.cells, axes, seeds)
        found[f"{name}_permuted"] = cell_accuracy(dataset.cells, axes[order], seeds)
    return found


def cell_accuracy(cells: ad.AnnData, vectors: Vectors, seeds: int) -> dict[str, float]:
    """Mean and standard deviation over fold seeds; a cell is the mean of its open peaks' vectors.

    Parameters
    ----------
    cells : AnnData
        Counts, cells × peaks.
    vectors : float32, shape (n_peaks, dim)
    seeds : int
    """
    opened = binary(sp.csr_matrix(cells.X, dtype=np.float32))
    weights = unit_sums(scaled(opened, columns=inverse_document_frequency(opened)))
    truth = cells.obs[LABELS].to_numpy().astype(np.str_)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    found = []
    for seed in range(seeds):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        told = cross_val_predict(model, weights @ vectors, truth, cv=folds)
        found.append(float(np.mean(told == truth)))
    return {"mean": round(float(np.mean(found)), 4), "sd": round(float(np.std(found)), 4)}


def whitened(vectors: Vectors, sequences: Sequences) -> Vectors:
    """First 50 principal components, whitened, of what the shares of N and GC do not explain."""
    n, gc = sequences.n_fraction().astype(np.float64), gc_share(sequences)
    design = np.stack([np.ones_like(n), n, n**2, gc, gc**2], axis=1)
    values = np.nan_to_num(vectors).astype(np.float64)
    values -= design @ np.linalg.lstsq(design, values, rcond=None)[0]
    values /= values.std(axis=0) + 1e-9
    pca = PCA(AXES, whiten=True, svd_solver="randomized", random_state=0)
    return np.asarray(pca.fit_transform(values), np.float32)


def gc_share(sequences: Sequences) -> NDArray[np.float64]:
    """Share of G and C among the known bases of each sequence, shape (n,)."""
    codes = letter_codes(sequences.data)
    first = sequences.offsets[:-1]
    known, gc = (
        np.add.reduceat(each.astype(np.int64), first)
        for each in (codes < 4, (codes == 1) | (codes == 2))
    )
    return np.asarray(gc / np.maximum(known, 1), np.float64)


def spectrum_means(sequences: Sequences, spectrum: Spectrum) -> Vectors:
    """Mean target of the tokens with known bases, float32, shape (n, dim); 0 if there are none."""
    tokenizer, letters_of = LetterTokenizer(), token_letters()
    is_real = tokenizer.real
    found = np.zeros((len(sequences), len(spectrum.offset)), np.float32)
    for row in range(len(sequences)):
        ids = tokenizer.encode(sequences.take([row])).ids
        real = is_real[ids]
        if real.any():
            letters = letters_of[ids].reshape(1, -1)
            found[row] = spectrum.targets(letters)[0].numpy()[real].mean(axis=0)
    return found


def canonical_kmers(sequences: Sequences, k: int) -> Vectors:
    """Share of each k-mer among a sequence's k-mers; one with its reverse complement counts once.

    K-mers that hold an unknown base are left out.

    Parameters
    ----------
    sequences : Sequences
    k : int

    Returns
    -------
    float32, shape (n, number of k-mers that are not above their reverse complement)

    Examples
    --------
    >>> canonical_kmers(Sequences.from_strings(["AANTT"]), 2)[0, 0]  # AA and TT are one
    np.float32(1.0)
    """
    codes = letter_codes(sequences.data)
    index = kmer_index(codes, k)
    place = np.arange(len(index))
    row = np.searchsorted(sequences.offsets, place, side="right") - 1
    whole = (index >= 0) & (place <= sequences.offsets[row + 1] - k)
    column_of, n_columns = canonical_columns(k)
    flat = row[whole] * n_columns + column_of[index[whole]]
    table = np.bincount(flat, minlength=len(sequences) * n_columns)
    counts = table.reshape(len(sequences), n_columns).astype(np.float32)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.float32)
