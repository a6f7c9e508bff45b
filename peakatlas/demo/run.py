"""From the packaged DNA and simulated cells to an annotated query and a report."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.build.local import build_atlas
from peakatlas.atlas.search.lookup import TIERS
from peakatlas.classifier.annotate import AnnotateOptions, annotate
from peakatlas.classifier.report.page import write_report
from peakatlas.classifier.train import train
from peakatlas.classifier.trust.metrics import score
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.readers import read_bed

from .elements import DATA
from .simulate import QUERY_FILE, REFERENCE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from peakatlas.classifier.bundle.bundle import Bundle

    Say = Callable[[str], None]
    ProgressBar = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]

MAX_OFFSET_BP = 20
"""Offset of centres up to which the demo lets an overlapping row stand in."""
LABELS_KEY = "cell_type"
TITLE = "peakatlas demo: simulated cells on real DNA"
GENOME = DATA / "slice.fa.gz"


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo measured, on simulated cells."""

    n_peaks_embedded: int
    """Peaks that went through the model in this run: the atlas's and the query's misses."""
    n_peaks_by_tier: dict[str, int]
    """The query's peaks by what served them."""
    accuracy: float
    """Over query cells whose type the reference has; "Unassigned" counts as wrong."""
    macro_f1: float
    """Over the same cells."""
    rejected_unknown: float
    """Share of the cells of the missing type that were left "Unassigned"."""
    alerts: list[dict[str, str]]
    """What is unusual about the query, and what to do; see `alerts_of`."""
    seconds: float
    """Wall time of everything, in s."""

    def to_json(self) -> dict[str, object]:
        """All fields as JSON types."""
        return asdict(self)

    def rows(self) -> list[list[str]]:
        """The final table: what and how much."""
        tiers = [[f"looked up: {name}", f"{n:,}"] for name, n in self.n_peaks_by_tier.items()]
        return [
            ["peaks embedded", f"{self.n_peaks_embedded:,}"],
            *tiers,
            ["accuracy (simulated cells)", f"{self.accuracy:.3f}"],
            ["macro F1", f"{self.macro_f1:.3f}"],
            ["missing type left Unassigned", f"{self.rejected_unknown:.3f}"],
            ["seconds", f"{self.seconds:.1f}"],
        ]


def run_demo(
    out: str | Path,
    *,
    model: str = "peaklm-v3",
    seed: int = 0,
    say: Say | None = None,
    progress: ProgressBar | None = None,
) -> DemoResult:
    """Build an atlas from real DNA, train on simulated cells, annotate others and report.

    Parameters
    ----------
    out : str or Path
        Folder for ``atlas.zarr``, ``bundle``, ``annotated.h5ad`` and ``report.html``; an atlas
        that is already there is finished or reused, the rest replaced.
    model : str
        Name in the model table, or a local directory.
    seed : int
        Of training and alignment.
    say : callable, optional
        Called with a line of text as each step begins.
    progress : callable, optional
        Called with a total and a text; gives a context with a function of newly done peaks.

    Raises
    ------
    ModelError
        If the model cannot be loaded.
    AtlasError
        If `out` holds an atlas of something else.
    OSError
        If `out` cannot be written.
    """
    began = time.perf_counter()
    folder, note = Path(out), say or _silent
    folder.mkdir(parents=True, exist_ok=True)
    note("The DNA is real (GRCh37 chr20, 4 Mb); the cells are simulated.")
    note(f"1/4 loading {model} and building {folder / 'atlas.zarr'}")
    embedder = Embedder.load(model)
    atlas, n_embedded = _build(folder / "atlas.zarr", embedder, progress or _no_bar)
    with atlas:
        note("2/4 training on the simulated reference")
        bundle = train(DATA / REFERENCE_FILE, LABELS_KEY, atlas, seed=seed, progress=_step(note))
        bundle.save(folder / "bundle")
        note("3/4 annotating the simulated query: other peaks, less depth, one type more")
        annotated = annotate(
            DATA / QUERY_FILE,
            folder / "bundle",
            atlas,
            GENOME,
            embedder=embedder,
            options=AnnotateOptions(max_offset=MAX_OFFSET_BP, seed=seed),
            progress=_step(note),
        )
    note(f"4/4 writing {folder / 'annotated.h5ad'} and {folder / 'report.html'}")
    annotated.write_h5ad(folder / "annotated.h5ad", compression="gzip")
    write_report(annotated, folder / "report.html", labels_key=LABELS_KEY, title=TITLE, seed=seed)
    return _measure(annotated, bundle, n_embedded, time.perf_counter() - began)


def _build(path: Path, embedder: Embedder, progress: ProgressBar) -> tuple[Atlas, int]:
    """The atlas and how many peaks were embedded for it now."""
    n_before = _rows_of(path)
    peaks = read_bed(DATA / "peaks.bed")
    with progress(len(peaks), "embedding peaks") as advance:
        atlas = build_atlas(GENOME, peaks, path, embedder, progress=advance)
    return atlas, len(atlas) - n_before


def _rows_of(path: Path) -> int:
    """Rows of an atlas that a run before this one finished, else 0."""
    try:
        with Atlas.open(path) as atlas:
            return len(atlas)
    except AtlasError:
        return 0


def _measure(annotated: ad.AnnData, bundle: Bundle, n_embedded: int, seconds: float) -> DemoResult:
    """Scores of an annotated query; the only place where its labels are read."""
    found = score(annotated.obs[LABELS_KEY], annotated.obs["peakatlas_label"], known=bundle.types)
    record = json.loads(annotated.uns["peakatlas"]["record"])
    tiers = record["tiers"]
    return DemoResult(
        n_peaks_embedded=n_embedded + tiers["embedded"],
        n_peaks_by_tier={name: tiers[name] for name in TIERS},
        accuracy=found.accuracy,
        macro_f1=found.macro_f1,
        rejected_unknown=found.rejected_unknown,
        alerts=record["alerts"],
        seconds=seconds,
    )


def _step(note: Say) -> Say:
    return lambda text: note(f"    {text}")


def _silent(_: str) -> None:
    """Say nothing."""


@contextmanager
def _no_bar(_total: int, _text: str) -> Iterator[Callable[[int], None]]:
    yield lambda _done: None
