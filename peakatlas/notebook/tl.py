"""Tools for notebooks, after scanpy's manners: they write into the AnnData that they are given.

With ``copy=True`` the object stays as it is and a copy with the results is returned. Figures of
what is written here are in `peakatlas.pl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.annotate import annotation_of
from peakatlas.classifier.counts.matrix import is_mudata, read_counts
from peakatlas.classifier.counts.written import in_memory_copy, keyed
from peakatlas.classifier.report.cell_map import cell_map as _cell_map
from peakatlas.engine.errors import CountsError

from .steps import steps_shown

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    from mudata import MuData  # type: ignore[import-not-found]

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.classifier.annotate import AnnotateOptions
    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.classifier.naming.peak_terms import PeakTerms
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder

__all__ = ["annotate", "cell_map"]

KEY = "peakatlas"
MAP_KEY = "X_peakatlas_tsne"
"""Of `obsm`: where `cell_map` puts the cells."""


def annotate(  # noqa: PLR0913 - options are keyword-only
    adata: ad.AnnData | MuData,
    bundle: Bundle | str | Path,
    atlas: Atlas | str | Path | None = None,
    genome: str | Path | SequenceSource | None = None,
    *,
    embedder: Embedder | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    mod: str | None = None,
    terms: PeakTerms | None = None,
    options: AnnotateOptions | None = None,
    key_added: str = KEY,
    progress: bool = True,
    copy: bool = False,
) -> Any:  # noqa: ANN401 - what was given
    """Label the cells of a query in place; see `peakatlas.annotate`.

    No column of `obs` is read. Columns of an earlier annotation are replaced.

    Parameters
    ----------
    adata : AnnData or MuData
        Raw counts, cells × peaks. Of a MuData, the modality with the peaks is annotated.
    bundle : Bundle, or path of one
    atlas : Atlas, or path of one, optional
        The one that the bundle was trained with; without it DNA is not read.
    genome : path of a FASTA, or SequenceSource, optional
        For peaks that miss the atlas.
    embedder : Embedder, optional
        Model of the atlas; without it, the one that the atlas names is loaded when needed.
    layer : str, optional
        Layer that holds the counts; `X` if not given.
    use_raw : bool
        Take counts and peaks from `raw`.
    mod : str, optional
        Modality with the peaks, if it is not called like ``atac`` or ``peaks``.
    terms : PeakTerms, optional
        The annotated elements that the bundle was trained with, for the query's genome build.
    options : AnnotateOptions, optional
    key_added : str
        What stands in the names of all results in the place of ``peakatlas``: annotations by
        several bundles lie side by side. `peakatlas.pl` and reports read those of ``peakatlas``.
    progress : bool
        Whether to show the steps, as a bar of tqdm; they are logged as ``peakatlas`` in any case.
    copy : bool
        Whether to leave `adata` alone and return an annotated copy.

    Returns
    -------
    AnnData, MuData or None
        With `copy`, the copy; else None. What is written: ``obs["peakatlas_label"]``,
        ``["peakatlas_confidence"]`` and the other columns of `peakatlas.annotate`,
        ``var["peakatlas_tier"]``, ``obsm["X_peakatlas"]`` and ``uns["peakatlas"]``.

    Raises
    ------
    CountsError, IntervalError, BundleError, SpecMismatchError, AtlasError, GenomeError
        As `peakatlas.annotate`; `adata` is then as it was.
    ValueError
        If `key_added` is empty or holds a slash.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> cells = anndata.read_h5ad("query.h5ad")
    >>> peakatlas.tl.annotate(cells, "bundle", "atlas.zarr")
    >>> "peakatlas_label" in cells.obs, cells.obsm["X_peakatlas"].shape[0] == cells.n_obs
    (True, True)
    """
    if not key_added or "/" in key_added:
        raise ValueError(f"key_added must be a name without /, not {key_added!r}")
    with steps_shown(progress) as begin:
        begin("reading the query")
        counts = read_counts(adata, layer=layer, use_raw=use_raw, mod=mod)
        found = annotation_of(
            counts, bundle, atlas, genome,
            embedder=embedder, terms=terms, options=options, progress=begin,
        )  # fmt: skip
    whole = adata
    if copy:
        whole = adata.copy() if is_mudata(adata) else in_memory_copy(adata)
    into = whole if counts.modality is None else whole.mod[counts.modality]
    found.results.put_into(into, key_added)
    into.obsm.pop(keyed(MAP_KEY, key_added), None)
    return whole if copy else None


def cell_map(
    adata: ad.AnnData, *, key: str = KEY, seed: int = 0, copy: bool = False
) -> ad.AnnData | None:
    """Place annotated cells and the kept reference cells on one map of two dimensions.

    The map is a t-SNE of the aligned embedding; beyond 1,500 cells it is made of so many, and the
    others lie among their nearest of these. It is for the eye only.

    Parameters
    ----------
    adata : AnnData
        Annotated.
    key : str
        `key_added` of the annotation.
    seed : int
    copy : bool
        Whether to leave `adata` alone and return a copy.

    Returns
    -------
    AnnData or None
        With `copy`, the copy; else None. What is written: ``obsm["X_peakatlas_tsne"]``, float32,
        shape (n_cells, 2), which
        ``scanpy.pl.embedding(adata, "peakatlas_tsne")`` draws, and
        ``uns["peakatlas"]["reference_map"]``, of the reference cells.

    Raises
    ------
    CountsError
        If the object was not annotated.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> cells = anndata.read_h5ad("annotated.h5ad")
    >>> peakatlas.tl.cell_map(cells)
    >>> cells.obsm["X_peakatlas_tsne"].shape == (cells.n_obs, 2)
    True
    """
    check_annotated(adata, key)
    into = in_memory_copy(adata) if copy else adata
    query = np.asarray(adata.obsm[f"X_{key}"], np.float32)
    behind = np.asarray(adata.uns[key]["reference_embedding"], np.float32)
    placed = _cell_map(np.concatenate([query, behind]), seed=seed)
    into.obsm[keyed(MAP_KEY, key)] = placed[: len(query)]
    into.uns[key] = {**into.uns[key], "reference_map": placed[len(query) :]}
    return into if copy else None


def check_annotated(adata: ad.AnnData, key: str = KEY) -> None:
    """Refuse an object that holds no annotation.

    Parameters
    ----------
    adata : AnnData
    key : str

    Raises
    ------
    CountsError
    """
    if key not in adata.uns or f"X_{key}" not in adata.obsm:
        raise CountsError(
            "the object holds no annotation. Run peakatlas.tl.annotate(adata, bundle) on it first."
        )
