"""Write the archives beside this script: one small atlas for each version of the format.

Run once for a version, by the software that introduced it; an archive is never written anew, since
it stands for the atlases that people have. ``python tests/data/archives/make_archives.py VERSION``
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from peakatlas.atlas import Atlas, AtlasWriter
from peakatlas.atlas.derive.quantise import quantise_atlas
from peakatlas.atlas.format.schema import EMBEDDED, MASKED
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec

HERE = Path(__file__).parent
SPEC = EmbeddingSpec(
    model="archived", weights_sha256="0" * 64, tokenizer_sha256="1" * 64, dim=4, window="centre:60"
)
PEAKS = Intervals.from_columns(
    ["chr1", "chr1", "chr1", "chr2", "chr2"], [100, 100, 900, 5, 70], [300, 600, 1100, 25, 90]
)
GENOME = {
    "name": "archived.fa",
    "kind": "genome",
    "contigs": {
        "chr1": {"bp": 2000, "digest": "SQ.YBbVX0dLKG1ieEDCiMmkrTZFt_Z5Vdaj"},
        "chr2": {"bp": 100, "digest": "SQ.AcLxtBuKEPk_7PGE_H4dGElwZHCujwH6"},
    },
}
MODEL = {"name": "archived", "licence": "MIT", "revision": "1"}


def write_float16(path: Path) -> None:
    """Five rows in three shards, the third row masked."""
    values = (np.arange(20).reshape(5, 4) * 0.375 - 3).astype(np.float32)
    values[2] = np.nan
    state = np.where(np.isnan(values[:, 0]), MASKED, EMBEDDED)
    digests = (np.arange(80).reshape(5, 16) * 3).astype(np.uint8)
    share = np.array([0, 0.25, 1, 0, 0.5], np.float32)
    writer = AtlasWriter.create(path, PEAKS, SPEC, genome=GENOME, model=MODEL, shard_rows=2)
    for shard in range(writer.n_shards):
        at = writer.shard_rows_of(shard)
        writer.write_shard(shard, values[at], digests[at], share[at], state[at])
    writer.finalise()


def write_int8(path: Path) -> None:
    """The same with int8 embeddings."""
    with tempfile.TemporaryDirectory() as folder:
        write_float16(Path(folder) / "float16.zarr")
        quantise_atlas(Path(folder) / "float16.zarr", path)


WRITERS = {"1.1": write_float16, "2.1": write_int8}
"""By version; 1.0 and 2.0 were written by earlier software."""


def known_values(path: Path) -> dict[str, object]:
    """What a reader must find, as JSON types; NaN is null."""
    atlas = Atlas.open(path)
    rows = [
        None if np.isnan(row).all() else [float(value) for value in row]
        for row in atlas.gather(np.arange(len(atlas)))
    ]
    return {
        "format_version": atlas.provenance["format_version"],
        "intervals": atlas.intervals.names(),
        "embedding": rows,
        "digest": [bytes(row).hex() for row in atlas.digests],
        "n_fraction": [float(value) for value in atlas.n_fraction],
        "state": [int(value) for value in atlas.state],
        "spec_digest": atlas.spec.digest,
        "genome": atlas.provenance["genome"],
        "model": atlas.provenance["model"],
    }


def main(version: str) -> None:
    """Write ``atlas-VERSION.tar.gz`` and the values in it as ``atlas-VERSION.json``."""
    archive = HERE / f"atlas-{version}.tar.gz"
    if archive.exists():
        sys.exit(f"{archive} is there already: an archive is never written anew.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.zarr"
        WRITERS[version](path)
        values = json.dumps(known_values(path), indent=1)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for file in sorted(path.rglob("*")):
                if file.is_file() and not file.name.startswith("."):
                    tar.add(file, arcname=f"atlas.zarr/{file.relative_to(path).as_posix()}")
    archive.write_bytes(packed.getvalue())
    (HERE / f"atlas-{version}.json").write_text(values + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
