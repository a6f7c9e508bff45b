"""How hard the demo's simulated task is for plain scikit-learn, with no model of this project.

    python benchmarks/demo_difficulty.py

Prints one JSON object: accuracy of balanced logistic regression over the query cells whose type
the reference has, on (a) counts carried to overlapping reference peaks, as TF-IDF, (b) the mean
of whitened 6-mer principal components over a cell's open peaks, (c) the same with the peaks of
each side permuted; and for (a) how well the largest probability sets the missing type apart
(area under the ROC curve).
"""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from peakatlas.demo.elements import DATA, read_slice, slice_bounds
from peakatlas.demo.simulate import MISSING_TYPE, QUERY_FILE, REFERENCE_FILE
from peakatlas.engine.intervals.overlap import OverlapIndex
from peakatlas.engine.intervals.readers import intervals_from_frame

K = 6
HALF_WINDOW_BP = 255
Cells = NDArray[np.float64] | sparse.csr_matrix


def kmer_counts(peaks: pd.DataFrame) -> NDArray[np.float64]:
    """log(1 + count) of every 6-mer of either strand about each centre, shape (n, 4096)."""
    codes, origin = read_slice().astype(np.int64), slice_bounds()[1]
    letters = np.lib.stride_tricks.sliding_window_view(codes, K)
    forward = letters @ 4 ** np.arange(K - 1, -1, -1)
    reverse = (3 - letters) @ 4 ** np.arange(K)
    words = np.minimum(forward, reverse)
    centres = ((peaks.start + peaks.end) // 2 - origin).to_numpy()
    spans = [words[c - HALF_WINDOW_BP : c + HALF_WINDOW_BP - K + 1] for c in centres]
    return np.log1p([np.bincount(span, minlength=4**K) for span in spans])


def sequence_cells(counts: sparse.csr_matrix, components: NDArray[np.float64]) -> Cells:
    """Mean component over the open peaks of each cell, rare peaks weighing more."""
    is_open = (counts > 0).astype(float)
    rarity = np.log(1 + counts.shape[0] / (1 + np.asarray(is_open.sum(axis=0)).ravel()))
    weighted = sparse.csr_matrix(is_open @ sparse.diags(rarity))
    mean = (weighted @ components) / np.asarray(weighted.sum(axis=1))
    return np.asarray(StandardScaler().fit_transform(mean))


def carried(query: ad.AnnData, reference: ad.AnnData) -> sparse.csr_matrix:
    """Query cells over the reference's peaks: open where an overlapping peak is."""
    mine, theirs = (intervals_from_frame(side.var, "var") for side in (query, reference))
    pairs = OverlapIndex(theirs).overlap_pairs(mine)
    shape = (query.n_vars, reference.n_vars)
    link = sparse.csr_matrix((np.ones(len(pairs)), (pairs.query, pairs.row)), shape=shape)
    moved = (query.X > 0).astype(float) @ link
    return sparse.csr_matrix(moved > 0, dtype=float)


def evaluate(train: Cells, test: Cells, labels: pd.Series, truth: pd.Series) -> tuple[float, float]:
    """Accuracy over known types, and ROC area for the missing type by the largest probability."""
    model = LogisticRegression(class_weight="balanced", max_iter=2000).fit(train, labels)
    probability = model.predict_proba(test)
    known = (truth != MISSING_TYPE).to_numpy()
    right = model.classes_[probability.argmax(axis=1)] == truth.to_numpy()
    return float(right[known].mean()), float(roc_auc_score(~known, -probability.max(axis=1)))


def main() -> None:
    """Run the three baselines and print their scores."""
    reference, query = ad.read_h5ad(DATA / REFERENCE_FILE), ad.read_h5ad(DATA / QUERY_FILE)
    labels, truth = reference.obs.cell_type.astype(str), query.obs.cell_type.astype(str)
    moved = carried(query, reference)
    seen = np.asarray(moved.sum(axis=0)).ravel() > 0
    tfidf = TfidfTransformer(sublinear_tf=True).fit((reference.X > 0).astype(float)[:, seen])
    shared = evaluate(
        tfidf.transform((reference.X > 0).astype(float)[:, seen]),
        tfidf.transform(moved[:, seen]),
        labels,
        truth,
    )
    scores = {"shared_accuracy": shared[0], "shared_missing_auc": shared[1]}
    kmers = [kmer_counts(side.var) for side in (reference, query)]
    rng = np.random.default_rng(0)
    for name in ("sequence_accuracy", "sequence_permuted_accuracy"):
        if "permuted" in name:
            kmers = [rng.permutation(side) for side in kmers]
        components = PCA(50, whiten=True, random_state=0).fit_transform(np.concatenate(kmers))
        mine = sequence_cells(reference.X, components[: reference.n_vars])
        theirs = sequence_cells(query.X, components[reference.n_vars :])
        scores[name] = evaluate(mine, theirs, labels, truth)[0]
    print(json.dumps({name: round(value, 3) for name, value in scores.items()}))


if __name__ == "__main__":
    main()
