"""What any Zarr reader makes of an atlas: all values, and how soon.

``python benchmarks/interop.py --json`` writes 1 M rows of random float16 embeddings of 64
dimensions, opens them without this library in processes of their own, and compares every value:

``zarr_seconds``: zarr-python alone, by the reader that ``atlas/FORMAT.md`` prints;
``xarray_seconds``: ``xarray.open_datatree``, all variables loaded; ``peakatlas_seconds``:
`Atlas.open`, intervals, and `Atlas.gather` of all rows, for comparison; ``to_xarray_seconds``:
`Atlas.to_xarray`, all variables loaded. Imports are not counted; files are warm; medians of rounds.
``ratio_zarr`` and ``ratio_xarray``: their seconds over those of peakatlas in the same round.
``values_equal``: whether intervals and embeddings of all ways are those that were written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from lookup_workload import open_or_write
from provenance import provenance

from peakatlas.engine.intervals.table import Intervals

N_ROWS, DIM, ROUNDS = 1_000_000, 64, 3
N_CONTIGS = 20
WAYS = {
    "zarr": """
import zarr
began = time.perf_counter()
segment = zarr.open_group(f"{path}/segment-0000", mode="r")
contigs = np.array(segment["intervals"].attrs["contigs"])
chrom = contigs[segment["intervals/contig"][:]]
start, end = segment["intervals/start"][:], segment["intervals/end"][:]
embedding = segment["embedding"][:]
""",
    "xarray": """
import xarray
began = time.perf_counter()
tree = xarray.open_datatree(f"{path}/segment-0000", engine="zarr", chunks=None).load()
chrom = np.array(tree["intervals"].attrs["contigs"])[tree["intervals/contig"].values]
start, end = tree["intervals/start"].values, tree["intervals/end"].values
embedding = tree["embedding"].values
""",
    "peakatlas": """
from peakatlas.atlas import Atlas
began = time.perf_counter()
atlas = Atlas.open(path)
rows = atlas.intervals
chrom, start, end = np.array(rows.contigs)[rows.contig_ids], rows.start, rows.end
embedding = atlas.gather(np.arange(len(atlas)))
""",
    "to_xarray": """
from peakatlas.atlas import Atlas
began = time.perf_counter()
rows = Atlas.open(path).to_xarray().load()
chrom, start, end = rows.chrom.values, rows.start.values, rows.end.values
embedding = rows.embedding.values
""",
}
HEAD = "import hashlib, json, sys, time\nimport numpy as np\npath = sys.argv[1]\n"
TAIL = """
seconds = time.perf_counter() - began
digest = hashlib.sha256()
for column in (chrom.astype("S8"), start, end, embedding.astype(np.float16)):
    digest.update(np.ascontiguousarray(column).data)
print(json.dumps({"seconds": seconds, "sha256": digest.hexdigest()}))
"""


def read(way: str, path: Path) -> dict[str, object]:
    """Seconds and digest of all values, read in one way by a process of its own."""
    code = HEAD + WAYS[way] + TAIL
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def written(path: Path, rows: Intervals, dim: int) -> str:
    """Digest of what was written, by a plain reader of the files' bytes."""
    digest = hashlib.sha256()
    chrom = np.array(rows.contigs)[rows.contig_ids]
    for column in (chrom.astype("S8"), rows.start, rows.end):
        digest.update(np.ascontiguousarray(column).data)
    plan = json.loads((path / "segment-0000" / "plan.json").read_text())
    step = plan["chunk_rows"] * dim * 2
    left = len(rows) * dim * 2
    for shard in range(-(-len(rows) // plan["shard_rows"])):
        data = (path / f"segment-0000/embedding/c/{shard}/0").read_bytes()
        for at in range(0, len(data), step + 4):
            taken = min(step, left)
            if taken and at + step + 4 <= len(data):
                digest.update(data[at : at + taken])
                left -= taken
    return digest.hexdigest()


def made(n_rows: int) -> Intervals:
    """Intervals in genome order."""
    rng = np.random.default_rng(0)
    each = n_rows // N_CONTIGS
    start = np.cumsum(rng.integers(200, 3000, (N_CONTIGS, each)), axis=1).reshape(-1)
    names = tuple(f"chr{number + 1}" for number in range(N_CONTIGS))
    width = rng.integers(150, 350, len(start))
    return Intervals(names, np.repeat(np.arange(N_CONTIGS), each), start, start + width)


def measure(folder: Path, n_rows: int, rounds: int) -> dict[str, object]:
    """Read in every way, in turn; medians and ratios over the rounds."""
    rows = made(n_rows)
    path = open_or_write(folder, rows, DIM)
    found = [{way: read(way, path) for way in WAYS} for _ in range(rounds)]
    right = written(path, rows, DIM)

    def seconds(way: str) -> list[float]:
        return [float(str(each[way]["seconds"])) for each in found]

    def ratio(way: str) -> float:
        pairs = zip(seconds(way), seconds("peakatlas"), strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    return {
        **{f"{way}_seconds": round(statistics.median(seconds(way)), 3) for way in WAYS},
        "ratio_zarr": round(ratio("zarr"), 2),
        "ratio_xarray": round(ratio("xarray"), 2),
        "values_equal": all(each["sha256"] == right for turn in found for each in turn.values()),
    }


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="20,000 rows, once")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    n_rows, rounds = (20_000, 1) if args.quick else (args.rows, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), n_rows, rounds)
    output = {"benchmark": "interop", "rows": n_rows, "dim": DIM, "rounds": rounds, **result}
    output |= {"provenance": provenance()}
    print(json.dumps(output) if args.json else json.dumps(output, indent=2))
    if not result["values_equal"]:
        raise SystemExit("a reader finds other values than were written.")


if __name__ == "__main__":
    main()
