"""Rows of an atlas as the objects of other packages: pandas, AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from peakatlas.engine.errors import AtlasError

from .format.schema import STATES

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from peakatlas.engine.intervals.table import Intervals


class Readable(Protocol):
    """What is read of an atlas."""

    @property
    def name(self) -> str:
        """Path or URL."""
        ...

    @property
    def intervals(self) -> Intervals:
        """Interval of each row."""
        ...

    @property
    def state(self) -> NDArray[np.uint8]:
        """State of each row."""
        ...

    @property
    def n_fraction(self) -> NDArray[np.float32]:
        """Share of N of each row."""
        ...

    @property
    def provenance(self) -> dict[str, Any]:
        """Spec, model and genome."""
        ...

    def gather(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Embeddings of rows."""
        ...

    def to_frame(self, rows: ArrayLike | None = None) -> pd.DataFrame:
        """Rows as a table."""
        ...


class Exchange:
    """Methods of an atlas that give its rows to other packages."""

    def to_frame(self: Readable, rows: ArrayLike | None = None) -> pd.DataFrame:
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

    def to_anndata(self: Readable, rows: ArrayLike | None = None) -> AnnData:
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
