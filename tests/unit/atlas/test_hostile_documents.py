"""Documents of a stranger's atlas: nothing of them is run, written outside, or believed in size."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.cluster import finalise_atlas
from peakatlas.atlas.check.repair import repair_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.format.opening import manifest_of
from peakatlas.atlas.storage.urls import open_storage
from peakatlas.engine.errors import AtlasError
from tests import hostile
from tests.atlas_tools import ToyEmbedder, random_intervals, write_toy_atlas
from tests.hostile import (
    SEGMENT,
    compressed,
    edit,
    edit_file,
    edit_plan,
    list_only,
    pickle_beside,
    pickled,
    reseal,
    snapshot,
    use,
)

N_ROWS = 40


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    root = tmp_path_factory.mktemp("kept") / "a.zarr"
    write_toy_atlas(root, random_intervals(N_ROWS), shard_rows=16)
    return root


@pytest.fixture
def root(kept, tmp_path):
    """An atlas in a folder of its own, with a file beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.json").write_text("mine")
    return shutil.copytree(kept, tmp_path / "inside" / "a.zarr")


@pytest.fixture
def unsafe(monkeypatch):
    """As before numcodecs 0.16.6, which refuses to unpickle by itself."""
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True)


@pytest.mark.usefixtures("unsafe")
def test_a_pickle_in_the_place_of_a_shard_is_not_read(root, tmp_path):
    pickle_beside(root, tmp_path / "ran")
    values = Atlas.open(root).gather(np.arange(N_ROWS))  # read without any metadata of Zarr
    assert np.isfinite(values).all()
    use(root)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("unsafe")
@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "gzip", "transpose"])
def test_a_codec_that_is_not_on_the_list_is_not_built(root, tmp_path, codec):
    compressed(root, codec, pickled(tmp_path / "ran"))
    with pytest.raises(AtlasError, match="can be compressed by zstd or blosc only"):
        Atlas.open(root).gather([0])
    use(root)
    assert not (tmp_path / "ran").exists()


def test_a_chunk_that_unpacks_to_more_than_its_rows_is_refused(root):
    compressed(root, "zstd", bytes(numcodecs.Zstd().encode(bytes(1 << 22))))
    with pytest.raises(AtlasError, match=r"embedding/c/0/0 cannot be unpacked"):
        Atlas.open(root).gather([0])


NAMES = [
    "../../outside/evil", "/etc/evil", "log/../../../outside/mine.json", "a\\b", "log/.hidden",
    "log/shard-00000.json\n", "..", "a//b", "embedding/./c", "log/" + "x" * 300, "é",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out_are_refused_and_nothing_is_written(root, tmp_path, name):
    list_only(root, lambda files: files.update({name: {"bytes": 4, "sha256": "0" * 64}}))
    outside = snapshot(tmp_path / "outside")
    with pytest.raises(AtlasError, match=r"a text of another form .*files"):
        Atlas.open(root)
    assert [fault.kind for fault in verify_atlas(root).faults] == ["manifest"]
    use(root)
    assert snapshot(tmp_path / "outside") == outside
    assert verify_atlas(root, deep=True).ok  # the repair took the name off the manifest


@pytest.mark.parametrize("version", ["²", "9" * 5000, "1." + "9" * 5000, "1", ""])
def test_a_version_that_is_none_is_refused(root, version):
    reseal(root, lambda manifest: manifest.update(format_version=version))
    with pytest.raises(AtlasError, match=r"format[_ ]version"):
        Atlas.open(root)
    assert [fault.file for fault in verify_atlas(root).faults] == ["manifest.json"]


@pytest.mark.parametrize("name", ["../outside", "segment-0001", "segment-0000/..", "/tmp"])
def test_a_segment_elsewhere_is_refused(root, name):
    reseal(root, lambda manifest: manifest["segments"][0].update(name=name))
    with pytest.raises(AtlasError, match=r"a text of another form|are absent \w+ have \w+ size"):
        Atlas.open(root)


def test_a_log_entry_that_names_other_files_is_not_taken_up(root, tmp_path):
    (root / "manifest.json").unlink()
    log = root / SEGMENT / "log" / "shard-00001.json"
    edit(log, lambda entry: entry["files"].update({"../../../outside/mine.json": {"bytes": 4}}))
    with pytest.raises(AtlasError, match=r"segment-0000 lacks shards \[1\]"):
        repair_atlas(root)
    edit(log, lambda entry: entry["files"].pop("../../../outside/mine.json"))
    edit(log, lambda entry: entry["files"].update({"extra": {"bytes": 1, "sha256": "0" * 64}}))
    with pytest.raises(AtlasError, match=r"segment-0000 lacks shards \[1\]"):
        repair_atlas(root)


@pytest.mark.parametrize("name", [f"{SEGMENT}/log", ".atlas.lock", f"{SEGMENT}/.plan.json.aside"])
def test_nothing_is_written_through_a_link(root, tmp_path, name):
    target = tmp_path / "outside"
    (root / name).unlink(missing_ok=True) if name.startswith(".") else None
    if name.endswith("log"):
        shutil.move(root / name, target / "log")
        target /= "log"
    else:
        target /= "mine.json"
    (root / name).symlink_to(target)
    (root / SEGMENT / "zarr.json").write_text("{}")
    before = snapshot(tmp_path / "outside")
    rows = random_intervals(3, 5, contigs=("chr9",))
    for act in (
        lambda: repair_atlas(root),
        lambda: finalise_atlas(root),
        lambda: append_rows(root, rows, ToyEmbedder(), genome={}),
    ):
        with pytest.raises(AtlasError, match="is a link to"):
            act()
    assert snapshot(tmp_path / "outside") == before


def test_another_plan_than_the_listed_one_is_refused(root):
    edit(root / SEGMENT / "plan.json", lambda plan: plan["model"].update(licence="MUT"))
    with pytest.raises(AtlasError, match="is not the plan that the manifest lists"):
        Atlas.open(root)


@pytest.mark.parametrize("place", [(2**64 - 9, 5), (2**63, 2**63 - 1), (10**9, 40), (0, 0)])
def test_an_index_that_leads_out_of_a_file_is_named(root, place):
    path = root / SEGMENT / "intervals" / "start" / "c" / "0"
    data = bytearray(path.read_bytes())
    data[-20:-4] = np.array(place, "<u8").tobytes()
    data[-4:] = hostile.crc(bytes(data[-20:-4]))
    path.write_bytes(data)
    reseal(root)
    with pytest.raises(AtlasError, match=r"start/c/0 says that chunk 0 has|do not fit their check"):
        Atlas.open(root).intervals  # noqa: B018
    assert "intervals/start" in str(verify_atlas(root, deep=True).faults)
    (root / "manifest.json").unlink()
    with pytest.raises(AtlasError, match=r"start/c/0 cannot be read \(its index is damaged"):
        repair_atlas(root)


def test_intervals_of_no_bytes_are_refused(root):
    edit_file(root, "intervals/start/c/0", bytes=3)
    with pytest.raises(AtlasError, match="intervals/start/c/0 is listed with 3 bytes"):
        Atlas(open_storage(root), manifest_of(open_storage(root)))


def test_rows_on_contigs_that_the_plan_does_not_list_are_refused(root):
    edit_plan(root, lambda plan: plan.update(contigs=["chr1"]))
    with pytest.raises(AtlasError, match="do not cover the 40 rows of 1 contigs"):
        Atlas.open(root).intervals  # noqa: B018


HUGE = {
    "rows": lambda root: edit_plan(root, lambda plan: plan.update(n_rows=10**12)),
    "rows beyond the range": lambda root: edit_plan(root, lambda p: p.update(n_rows=10**30)),
    "chunks": lambda root: edit_plan(
        root, lambda plan: plan.update(chunk_rows=1 << 24, shard_rows=1 << 24)
    ),
    "dim": lambda root: edit_plan(root, lambda plan: plan["spec"].update(dim=1 << 40)),
    "listed bytes": lambda root: edit_file(root, "state/c/0", bytes=10**15),
    "deep plan": lambda root: (root / SEGMENT / "plan.json").write_text("[" * 10**6),
    "deep genome": lambda root: edit_plan(
        root, lambda plan: plan["genome"].update(a=json.loads("[" * 400 + "]" * 400))
    ),
    "wide manifest": lambda root: (root / "manifest.json").write_text(
        '{"a": [' + "{}," * 5_000_000 + "{}]}"
    ),
    "long manifest": lambda root: (root / "manifest.json").write_text(" " * (1 << 26)),
    "deep log": lambda root: (root / SEGMENT / "log/shard-00000.json").write_text("[" * 10**6),
    "array": lambda root: edit(
        root / SEGMENT / "intervals/start/zarr.json", lambda a: a.update(shape=[10**12])
    ),
}
USE = textwrap.dedent(
    """
    import resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from hostile import use
    from peakatlas.engine.run.hardware import peak_memory
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), used + (1 << 30)))
    for root in sys.argv[2:]:
        said = use(root)
        print(Path(root).parent.name, len(said), *said[:1], sep="\\t")
    print(peak_memory())
    """
)


def test_sizes_are_not_believed(kept, tmp_path):
    """In a process that has 1 GB more than its imports need."""
    roots = []
    for case, harm in HUGE.items():
        roots.append(shutil.copytree(kept, tmp_path / case / "a.zarr"))
        harm(roots[-1])
        if case == "array":
            reseal(roots[-1])
    done = subprocess.run(
        [sys.executable, "-c", USE, str(Path(hostile.__file__).parent), *map(str, roots)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *lines, peak = done.stdout.strip().splitlines()
    found = {line.split("\t")[0]: line for line in lines}
    assert found.keys() == HUGE.keys()
    assert {case for case, line in found.items() if line.split("\t")[1] == "0"} == {
        "array",
        "deep log",
    }
    assert int(peak) < 1 << 30
