"""Rows of an atlas as the objects of other packages, and vectors of other packages as an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.engine.errors import AtlasError

from .format.schema import STATES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import ArrayLike
    from xarray import Dataset

    from peakatlas.engine.intervals.table import IntervalTable
    from peakatlas.engine.spec import EmbeddingSpec

    from .atlas import Atlas
    from .search.targets import AtlasRows


class Exchange:
    """Methods of an atlas that give its rows to other packages."""

    def to_frame(self: AtlasRows, rows: ArrayLike | None = None) -> pd.DataFrame:
        """Intervals and what is known of them as a table; embeddings come from `gather`.

        Parameters
        ----------
        rows : int, shape (n,), optional
            Rows of the atlas in any order; all of them when not given.

        Returns
        -------
        pandas.DataFrame
            ``chrom, start, end, state, n_fraction``; the index, ``row``, is the row of the atlas.

        Raises
        ------
        AtlasError
            If a row is outside the atlas, or a file is damaged.
        """
        table = self.intervals
        wanted = np.arange(len(table)) if rows is None else np.asarray(rows, np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(table))]
        if len(outside):
            raise AtlasError(
                f"row {outside[0]} is outside 0 … {len(table) - 1} of {self.name}: give rows of "
                "this atlas."
            )
        frame = table.take(wanted).to_frame().set_index(pd.Index(wanted, name="row"))
        state = pd.Categorical.from_codes(
            self.state[wanted].astype(np.int8), pd.Index(list(STATES))
        )
        return frame.assign(state=state, n_fraction=self.n_fraction[wanted])

    def to_anndata(self: AtlasRows, rows: ArrayLike | None = None) -> AnnData:
        """Rows as AnnData: an observation is an interval, a variable a dimension.

        Memory grows by ``4 dim`` bytes a row.

        Parameters
        ----------
        rows : int, shape (n,), optional
            Rows of the atlas in any order; all of them when not given.

        Returns
        -------
        anndata.AnnData
            ``X``: float32 embeddings, NaN for masked rows. ``obs``: as `to_frame`, with the row in
            column ``row``, named ``chrom:start-end``. ``uns["peakatlas"]``: spec and model.

        Raises
        ------
        AtlasError
            If a row is outside the atlas, or a file is damaged.
        """
        from anndata import AnnData  # noqa: PLC0415 - slow, and seldom needed

        frame = self.to_frame(rows)
        values = self.gather(frame.index.to_numpy())
        places = zip(frame["chrom"], frame["start"], frame["end"], strict=True)
        names = pd.Index([f"{chrom}:{start}-{end}" for chrom, start, end in places])
        obs = frame.reset_index().set_index(names)
        var = pd.DataFrame(index=[f"dim_{number}" for number in range(values.shape[1])])
        origin = self.provenance
        known = {"spec": origin["spec"], "model": origin["model"]}
        return AnnData(X=values, obs=obs, var=var, uns={"peakatlas": known})

    def to_xarray(self: AtlasRows) -> Dataset:
        """All rows as an xarray data set whose arrays are read when they are used.

        Intervals are read at once; of embeddings, only the rows and dimensions that are selected,
        each checked and int8 decoded as `gather` does it.

        Returns
        -------
        xarray.Dataset
            ``embedding``: float32 over ``row`` and ``dim``, NaN for masked rows. Coordinates over
            ``row``: ``chrom, start, end, state, n_fraction``. Attributes: ``spec``, ``model``.

        Raises
        ------
        MissingDependencyError
            If xarray is not installed.
        AtlasError
            If a file is damaged; also when rows are read later.

        Examples
        --------
        >>> import peakatlas
        >>> rows = peakatlas.Atlas.open("atlas.zarr").to_xarray()
        >>> rows.embedding.isel(row=rows.chrom == rows.chrom[0]).shape[1]
        64
        """
        from .lazy_dataset import lazy_dataset  # noqa: PLC0415 - xarray is optional

        return lazy_dataset(self)

    @staticmethod
    def from_embeddings(
        out: str | Path,
        intervals: IntervalTable,
        values: ArrayLike,
        spec: EmbeddingSpec | str,
        *,
        model: Mapping[str, Any] | None = None,
        genome: Mapping[str, Any] | None = None,
    ) -> Atlas:
        """Write vectors that were made elsewhere as an atlas; the same call again finishes it.

        Peaks are then found by their interval: nothing is known of the sequences.

        Parameters
        ----------
        out : str or Path
            Folder of the new atlas.
        intervals : Intervals, pandas.DataFrame or pyranges.PyRanges
            n intervals in any order, without repeats. Contigs are put in the order in which the
            table lists them.
        values : float, shape (n, dim)
            A vector for each; a row of NaN is masked. Stored as float16. A memory map is read in
            blocks.
        spec : EmbeddingSpec or str
            Identity of the vectors: two atlases of one spec may be merged. Or the name of what
            made them; their identity is then the digest of the vectors, and no other rows join.
        model : mapping, optional
            Provenance: ``licence`` (SPDX), ``source``, ``revision``, ``citation``.
        genome : mapping, optional
            Provenance: ``name``; ``contigs`` maps a name to ``{"bp": length}``.

        Returns
        -------
        Atlas
            Rows in genome order.

        Raises
        ------
        IntervalError
            If `intervals` is a table that cannot be used.
        AtlasError
            If an interval repeats, `values` have another shape, a value does not fit float16,
            `out` is something else, or the disk refuses.

        Examples
        --------
        >>> import peakatlas
        >>> peaks = peakatlas.Intervals.from_columns(["chr1", "chr1"], [100, 900], [600, 1400])
        >>> mine = peakatlas.Atlas.from_embeddings("own.zarr", peaks, [[1, 2], [1, 3]], "x")
        >>> mine.gather([1]).tolist()
        [[1.0, 3.0]]
        """
        from .build.from_embeddings import write_embeddings  # noqa: PLC0415 - a writer, seldom used

        return write_embeddings(out, intervals, values, spec, model=model, genome=genome)
