"""Every change of an atlas is found: each byte of a small one, and what people and disks do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.check.verify_rows import check_repeats
from peakatlas.atlas.format.digests import file_digest
from peakatlas.atlas.format.schema import seal_manifest
from peakatlas.atlas.storage.atomic import json_bytes
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import AtlasError, SpecMismatchError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import (
    ToyEmbedder,
    append_toy_rows,
    random_intervals,
    toy_spec,
    write_toy_atlas,
    write_toy_genome,
)


@pytest.fixture
def path(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(20), shard_rows=8)
    return tmp_path / "a.zarr"


@pytest.fixture(scope="module")
def kept(tmp_path_factory, genome):
    """Atlas of two segments, one row masked, whose rows follow from the genome."""
    out = tmp_path_factory.mktemp("kept") / "b.zarr"
    first = Intervals.concatenate(
        [Intervals.from_columns(["chr1"], [20], [80]), random_intervals(40)]
    )
    build_atlas(genome, first, out, ToyEmbedder(), shard_rows=8)
    more = random_intervals(30, seed=7)
    append_toy_rows(out, more, genome)
    return out


@pytest.fixture
def built(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "b.zarr")


def names_below(root):
    """Files of an atlas; a lock is none."""
    found = (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    return sorted(name for name in found if not name.startswith("."))


def test_progress_tells_the_bytes_that_were_read(built):
    quick, deep = [], []
    shards = sum(path.stat().st_size for path in built.rglob("c/**/*") if path.is_file())
    assert verify_atlas(built, progress=quick.append).ok
    assert verify_atlas(built, deep=True, progress=deep.append).ok
    assert 0 < sum(quick) < sum(deep)
    assert sum(deep) > shards
    assert min(deep) >= 0 and len(deep) > 30


class MemoryFolder:
    """An atlas in memory; what `verify_atlas` asks of a storage."""

    name = "memory"

    def __init__(self, root: Path) -> None:
        self.files = {name: (root / name).read_bytes() for name in names_below(root)}

    def where(self, name):
        return name

    def local_path(self, name=""):
        return None

    def _held(self, name):
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    def exists(self, name):
        return name in self.files

    def size(self, name):
        return len(self._held(name))

    def read_bytes(self, name):
        return self._held(name)

    def read_ranges(self, ranges):
        return [self._held(name)[start:stop] for name, start, stop in ranges]

    def zarr_store(self, folder):
        make = default_buffer_prototype().buffer.from_bytes
        inside = {n.partition("/")[2]: make(d) for n, d in self.files.items() if "/" in n}
        return MemoryStore(inside, read_only=True)


def faults(path, **options):
    return [fault.file for fault in verify_atlas(path, **options).faults]


def test_a_sound_atlas_has_no_fault(path, built):
    for atlas in (path, built):
        for deep in (False, True):
            report = verify_atlas(atlas, deep=deep)
            assert report.ok, [fault.line("") for fault in report.faults]
            assert report.notes == ()
    assert report.facts["n_rows"] == 71
    assert verify_atlas(MemoryFolder(path), deep=True).ok


def test_each_byte_of_every_file_counts(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(2), shard_rows=1)
    folder = MemoryFolder(tmp_path / "a.zarr")
    assert verify_atlas(folder, deep=True).ok
    missed = []
    for name, whole in list(folder.files.items()):
        flips = np.random.default_rng(0).integers(1, 256, len(whole))
        for at, flip in enumerate(flips.tolist()):
            folder.files[name] = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
            found = [fault.file for fault in verify_atlas(folder, deep=True).faults]
            if name not in found:
                missed.append((name, at, flip))
        folder.files[name] = whole
    assert missed == []
    assert sum(map(len, folder.files.values())) > 10_000


def test_each_bit_of_a_manifest_counts(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(1), shard_rows=1)
    folder = MemoryFolder(tmp_path / "a.zarr")
    whole = folder.files["manifest.json"]
    for at in range(0, len(whole), 7):
        for bit in range(8):
            folder.files["manifest.json"] = (
                whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
            )
            assert faults(folder) == ["manifest.json"], (at, bit)


@pytest.mark.parametrize("damage", ["absent", "empty", "short", "long"])
def test_a_file_of_another_length_is_found(built, damage):
    names = names_below(built)
    kept = shutil.copytree(built, built.with_name("kept"))
    for name in names:
        if damage == "absent":
            (built / name).unlink()
        else:
            data = (built / name).read_bytes()
            changed = {"empty": b"", "short": data[:-1], "long": data + b"\0"}[damage]
            (built / name).write_bytes(changed)
        assert name in faults(built), name
        shutil.copy(kept / name, built / name)
    assert faults(built, deep=True) == []


def test_flips_in_a_larger_atlas_are_found(tmp_path):
    rng = np.random.default_rng(2)
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(5000), shard_rows=512)
    root = tmp_path / "a.zarr"
    for name in rng.permutation(names_below(root))[:40].tolist():
        whole = (root / name).read_bytes()
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (root / name).write_bytes(data)
        assert faults(root, deep=True) == [name]
        (root / name).write_bytes(whole)


def swap(first: Path, second: Path) -> None:
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)


def shard_paths(path, shard):
    columns = {"embedding": "/0", "digest": "/0", "n_fraction": "", "state": ""}
    return [path / "segment-0000" / name / "c" / f"{shard}{t}" for name, t in columns.items()]


def log_path(path, shard):
    return path / "segment-0000" / "log" / f"shard-{shard:05d}.json"


@pytest.mark.parametrize("with_logs", [False, True])
def test_swapped_shards_are_found(path, with_logs):
    for first, second in zip(shard_paths(path, 0), shard_paths(path, 1), strict=True):
        swap(first, second)
    if with_logs:
        swap(log_path(path, 0), log_path(path, 1))
    found = faults(path, deep=True)
    assert {"segment-0000/embedding/c/0/0", "segment-0000/embedding/c/1/0"} <= set(found)
    assert ("segment-0000/log/shard-00000.json" in found) is with_logs


def test_a_duplicated_shard_is_found(path):
    shutil.copy(shard_paths(path, 0)[0], shard_paths(path, 1)[0])
    assert faults(path, deep=True) == ["segment-0000/embedding/c/1/0"]


def test_swapped_shards_are_found_by_the_genome_even_if_all_documents_agree(built, genome):
    """Whoever rewrites shards, log and manifest alike is given away by the sequences alone."""
    for first, second in zip(shard_paths(built, 1), shard_paths(built, 2), strict=True):
        swap(first, second)
    manifest = json.loads((built / "manifest.json").read_text())
    listed = manifest["segments"][0]["files"]
    for shard in (1, 2):
        log = json.loads(log_path(built, shard).read_text())
        for name in log["files"]:
            other = name.replace(f"/c/{shard}", f"/c/{3 - shard}")
            log["files"][name] = listed[other]
        log_path(built, shard).write_bytes(json_bytes(log))
    for shard in (1, 2):
        listed |= json.loads(log_path(built, shard).read_text())["files"]
    (built / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    assert verify_atlas(built, deep=True).ok
    report = verify_atlas(built, deep=True, source=genome)
    assert [fault.file for fault in report.faults] == [
        "segment-0000/digest/c/1/0", "segment-0000/digest/c/2/0",
    ]  # fmt: skip
    assert "8 row(s) hold another sequence" in report.faults[0].what


RESEALED = {
    "n_rows": lambda m: m.update(n_rows=7),
    "no segment": lambda m: m.update(segments=[], n_rows=0),
    "renamed": lambda m: m["segments"][0].update(name="segment-0003"),
    "rows of a segment": lambda m: (m.update(n_rows=8), m["segments"][0].update(n_rows=8)),
    "spec": lambda m: m["spec"].update(layer=3),
    "model": lambda m: m["spec"].update(model="another"),
    "unlisted shard": lambda m: m["segments"][0]["files"].pop("embedding/c/1/0"),
    "unlisted plan": lambda m: m["segments"][0]["files"].pop("plan.json"),
    "no size": lambda m: m["segments"][0]["files"]["plan.json"].pop("bytes"),
    "no files": lambda m: m["segments"][0].pop("files"),
}


@pytest.mark.parametrize("edit", RESEALED)
def test_a_manifest_edited_and_sealed_again_is_found(path, edit):
    manifest = json.loads((path / "manifest.json").read_text())
    RESEALED[edit](manifest)
    (path / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    assert "manifest.json" in faults(path)


def test_an_edited_log_is_found(path):
    log = json.loads(log_path(path, 1).read_text())
    log["rows"] = [0, 8]
    log_path(path, 1).write_bytes(json_bytes(log))
    assert faults(path) == ["segment-0000/log/shard-00001.json"]


def test_stray_files_are_named_and_working_files_are_not(path):
    for name in ("notes.txt", "segment-0000/embedding/c/9/0", "segment-0000/.x.aside", ".lock"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("x")
    (path / "segment-0001" / "log").mkdir(parents=True)
    (path / "segment-0001" / "plan.json").write_text("{}")
    report = verify_atlas(path)
    assert [fault.file for fault in report.faults] == ["notes.txt", "segment-0000/embedding/c/9/0"]
    assert "segment-0001 is not listed" in report.notes[0]


def test_a_newer_version_is_named_with_what_helps(path):
    manifest = json.loads((path / "manifest.json").read_text()) | {"format_version": "3.0"}
    (path / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    (fault,) = verify_atlas(path).faults
    assert "format version 3.0, this software reads up to 2.1" in fault.what
    assert fault.remedy("a.zarr").startswith("Install a newer peakatlas")


def test_checksums_edited_in_manifest_and_log_are_found(path):
    manifest = json.loads((path / "manifest.json").read_text())
    log = json.loads(log_path(path, 1).read_text())
    for files in (manifest["segments"][0]["files"], log["files"]):
        files["digest/c/1/0"]["crc32c"] = "0123abcd"
    log_path(path, 1).write_bytes(json_bytes(log))
    (path / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    assert faults(path) == []
    assert faults(path, deep=True) == ["segment-0000/digest/c/1/0"]


def test_intervals_in_two_segments_are_found(built):
    atlas = Atlas.open(built)
    tables = [("segment-0000", atlas.intervals.take(np.arange(41)))]
    tables.append(("segment-0001", atlas.intervals.take([40, 41])))
    (fault,) = check_repeats(tables)
    assert fault.file == "segment-0001/intervals"
    assert atlas.intervals.names()[40] in fault.what


def test_segments_of_two_genomes_are_found(built):
    """Each document is sound; together they contradict each other."""
    manifest = json.loads((built / "manifest.json").read_text())
    path = built / "segment-0001" / "plan.json"
    plan = json.loads(path.read_text())
    assert plan["genome"]["contigs"].keys() == {"chr1", "chr2"}
    plan["genome"]["contigs"]["chr2"]["bp"] += 1
    path.write_bytes(json_bytes(plan))
    listed = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    manifest["segments"][1]["files"]["plan.json"] = listed
    (built / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    (fault,) = verify_atlas(built).faults
    assert (fault.file, fault.kind) == ("segment-0001", "rows")
    assert "1 contig(s) differ (chr2 50000 bp" in fault.what


def test_rows_are_embedded_again(built, genome):
    report = verify_atlas(built, source=genome, embedder=ToyEmbedder(), reembed=30)
    assert report.ok
    assert report.facts["n_reembedded"] == report.facts["n_reembedded_equal"] == 30
    assert report.facts["least_centred_cosine"] == 1
    everything = verify_atlas(built, source=genome, embedder=ToyEmbedder(), reembed=500)
    assert everything.facts["n_reembedded_equal"] == 71


def test_what_another_processor_computed_is_a_note_and_another_model_a_fault(built, genome):
    class Rounds(ToyEmbedder):
        def embed(self, peaks, source, progress=None):
            found = super().embed(peaks, source)
            found.values[:] *= 1.002
            return found

    class Shifts(ToyEmbedder):
        def embed(self, peaks, source, progress=None):
            found = super().embed(peaks, source)
            found.values[:] = np.roll(found.values, 1, axis=1)
            return found

    report = verify_atlas(built, source=genome, embedder=Rounds(), reembed=500)
    assert report.ok
    assert 0.99 < report.facts["least_centred_cosine"] < 1
    assert "rows came out other than stored" in report.notes[0]
    report = verify_atlas(built, source=genome, embedder=Shifts(), reembed=500)
    assert {fault.file for fault in report.faults} == {
        *(f"segment-0000/embedding/c/{shard}/0" for shard in range(6)),
        "segment-0001/embedding/c/0/0",
    }
    assert "centred cosine: chr" in report.faults[0].what


def test_embedding_again_needs_genome_and_the_model_of_the_atlas(built, genome):
    with pytest.raises(AtlasError, match="needs the genome"):
        verify_atlas(built, reembed=1)
    other = ToyEmbedder(spec=toy_spec(window="centre:90"))
    with pytest.raises(SpecMismatchError, match="centre:60 != centre:90"):
        verify_atlas(built, source=genome, embedder=other, reembed=1)


def test_another_genome_is_found(built, tmp_path):
    other = write_toy_genome(tmp_path / "other.fa", {"chr1": 50_000, "chr2": 50_000}, seed=9)
    report = verify_atlas(built, source=open_genome(other))
    assert [fault.kind for fault in report.faults] == ["genome", "genome"]
    assert "other.fa is another build" in report.faults[0].what


def test_what_is_no_atlas_is_a_fault(tmp_path):
    (tmp_path / "empty").mkdir()
    assert faults(tmp_path / "empty") == ["manifest.json", "zarr.json"]


def test_a_model_is_loaded_only_when_there_are_rows_to_embed(built, genome):
    loaded = []

    def load():
        loaded.append(1)
        return ToyEmbedder()

    assert verify_atlas(built, source=genome, embedder=load).ok
    assert loaded == []
    assert verify_atlas(built, source=genome, embedder=load, reembed=1).ok
    assert loaded == [1]
