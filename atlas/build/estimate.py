"""What building an atlas would take: rows, tokens, bytes, time and memory, with nothing written."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.format.digests import DIGEST_BYTES
from peakatlas.atlas.format.layout import CHECKSUM_BYTES, PLACE_BYTES, fitting_shard_rows
from peakatlas.atlas.format.schema import PLAN_NAME
from peakatlas.atlas.format.segment import Segment, first_segment
from peakatlas.engine.dna.windows import parse_window
from peakatlas.engine.run.hardware import peak_memory

from .compatibility import check_same_genome
from .places import refuse_foreign
from .provenance import genome_provenance
from .writer import CHUNK_ROWS, AtlasWriter, default_shard_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.intervals.table import Intervals

    from .inputs import Inputs

_FEW_PEAKS = 16
_SAMPLE_PEAKS = 1024
_INTERVAL_ROW_BYTES = 4.2
_SMALL_COLUMNS_BYTES = (DIGEST_BYTES, 4, 1)
_JSON_BYTES, _JSON_BYTES_A_SHARD = 12_000, 2_000
"""Of plan, manifest, log and metadata, about."""


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Speed of the model on a few of the peaks."""

    n_peaks: int
    seconds: float
    peaks_per_s: float
    tokens_per_s: float


@dataclass(frozen=True, kw_only=True)
class BuildEstimate:
    """What a build would do; figures are of one process."""

    n_repeats: int
    """Peaks that are left out because they repeat others."""
    n_rows: int
    n_windows: int
    n_tokens: int
    """Projected from a sample of the rows."""
    n_shards: int
    n_shards_done: int
    """Shards that a build before this one has written."""
    n_rows_done: int
    shard_rows: int
    finished: bool
    """Whether there is nothing left to do."""
    n_bytes: int
    """On disk, when finished."""
    n_bytes_left: int
    """Still to be written."""
    free_bytes: int
    """Free where the atlas is to lie."""
    memory_bytes: int
    """Resident memory of a process that builds, without the page cache; at least this much where
    nothing was measured."""
    burst: Burst | None
    """None where nothing was measured."""

    @property
    def seconds_left(self) -> float | None:
        """Time that the rows left would take, in s; None where nothing was measured."""
        if self.burst is None:
            return None
        return (self.n_rows - self.n_rows_done) / self.burst.peaks_per_s

    @property
    def has_room(self) -> bool:
        """Whether what is left to be written fits the disk."""
        return self.n_bytes_left <= self.free_bytes

    def to_json(self) -> dict[str, Any]:
        """All figures, as JSON types."""
        projected = {"seconds_left": self.seconds_left, "has_room": self.has_room}
        return asdict(self) | projected


def estimate_build(
    inputs: Inputs, out: str | Path, embedder: Embedder, *, seconds: float = 2.5
) -> BuildEstimate:
    """Say what `build_atlas` would do, and how much of it is done already.

    Parameters
    ----------
    inputs : Inputs
    out : str or Path
        Folder of the atlas; begun, finished or not there.
    embedder : Embedder
    seconds : float
        How long the model is run for a measurement, about, in s; 0 for none.

    Raises
    ------
    SpecMismatchError, GenomeError, AtlasError
        If `out` was begun as another atlas or is something else.
    """
    root, rows, dim = Path(out), inputs.rows, embedder.spec.dim
    begun = _begun(root, inputs, embedder)
    shard_rows = fitting_shard_rows(len(rows), default_shard_rows(len(rows)), CHUNK_ROWS)
    shard_rows = begun.plan.shard_rows if begun else shard_rows
    done = begun.done_shards() if begun else []
    counts = _rows_a_shard(len(rows), shard_rows)
    sizes = [shard_bytes(n, shard_rows, dim) for n in counts]
    layout = _layout_bytes(len(rows), len(counts), rows.contigs)
    n_bytes_done = sum(sizes[shard] for shard in done) + (layout if begun else 0)
    burst = _burst(inputs, embedder, seconds) if seconds > 0 else None
    return BuildEstimate(
        n_repeats=inputs.n_repeats,
        n_rows=len(rows),
        n_windows=len(parse_window(embedder.spec.window).cut(rows).owner),
        n_tokens=_tokens(inputs, embedder),
        n_shards=len(counts),
        n_shards_done=len(done),
        n_rows_done=sum(counts[shard] for shard in done),
        shard_rows=shard_rows,
        finished=begun is not None and begun.is_finished(),
        n_bytes=sum(sizes) + layout,
        n_bytes_left=sum(sizes) + layout - n_bytes_done,
        free_bytes=shutil.disk_usage(_existing_folder(root)).free,
        memory_bytes=peak_memory() + shard_rows * dim * (4 + 2),
        burst=burst,
    )


def _burst(inputs: Inputs, embedder: Embedder, seconds: float) -> Burst:
    """Embed some of the rows, spread over the genome, for about so many seconds, above 0."""
    few = _sample(inputs.rows, _FEW_PEAKS)
    embedder.embed(few, inputs.source)  # pays for what is done once
    began = time.perf_counter()
    embedder.embed(few, inputs.source)
    rate = len(few) / (time.perf_counter() - began)
    peaks = _sample(inputs.rows, max(len(few), int(rate * seconds)))
    tokens = embedder.tokens_done
    began = time.perf_counter()
    embedder.embed(peaks, inputs.source)
    took = time.perf_counter() - began
    return Burst(
        n_peaks=len(peaks),
        seconds=took,
        peaks_per_s=len(peaks) / took,
        tokens_per_s=(embedder.tokens_done - tokens) / took,
    )


def shard_bytes(n_rows: int, shard_rows: int, dim: int) -> int:
    """Bytes of the files of one float16 shard.

    Parameters
    ----------
    n_rows : int
        Rows in it.
    shard_rows : int
        Rows of a full shard.
    dim : int

    Examples
    --------
    >>> shard_bytes(1024, 1024, 256)
    545888
    """
    chunk_rows = min(CHUNK_ROWS, shard_rows)
    n_chunks, n_places = -(-n_rows // chunk_rows), shard_rows // chunk_rows
    return sum(
        n_chunks * (chunk_rows * row_bytes + CHECKSUM_BYTES)
        + n_places * PLACE_BYTES
        + CHECKSUM_BYTES
        for row_bytes in (2 * dim, *_SMALL_COLUMNS_BYTES)
    )


def _existing_folder(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def _begun(root: Path, inputs: Inputs, embedder: Embedder) -> AtlasWriter | None:
    """The atlas that was begun, checked to be the same; None if there is none yet."""
    refuse_foreign(root)
    name = first_segment(root)
    if not (root / name / PLAN_NAME).exists():
        return None
    writer = AtlasWriter(Segment(root, name))
    writer.check_fits(embedder.spec, inputs.rows)
    here = genome_provenance(inputs.source, inputs.rows.contigs, digests=False)
    check_same_genome(writer.plan.genome, here, str(root))
    return writer


def _rows_a_shard(n_rows: int, shard_rows: int) -> list[int]:
    return [min(shard_rows, n_rows - first) for first in range(0, n_rows, shard_rows)]


def _layout_bytes(n_rows: int, n_shards: int, contigs: Sequence[str]) -> int:
    """Bytes of intervals and of all JSON."""
    intervals = round(_INTERVAL_ROW_BYTES * n_rows)
    return intervals + _JSON_BYTES + n_shards * _JSON_BYTES_A_SHARD + 100 * len(contigs)


def _tokens(inputs: Inputs, embedder: Embedder) -> int:
    sample = _sample(inputs.rows, _SAMPLE_PEAKS)
    n = embedder.count_tokens(sample, inputs.source)
    return round(n * len(inputs.rows) / len(sample))


def _sample(rows: Intervals, n: int) -> Intervals:
    """At most n rows, evenly spread."""
    wanted = min(n, len(rows))
    return rows.take(np.linspace(0, len(rows) - 1, wanted).round().astype(np.int64))
