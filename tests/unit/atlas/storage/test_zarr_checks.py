"""Zarr stores that come from elsewhere: refused before a codec is built or memory is taken."""

import json
import os
import shutil
import zipfile
from contextlib import suppress

import numcodecs
import numpy as np
import pytest
import zarr

from peakatlas.atlas.storage.zarr_checks import check_zarr
from peakatlas.engine.errors import AtlasError


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture(params=[2, 3])
def store(tmp_path, request):
    """A group with numbers and text, by either version of Zarr."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=request.param)
    group.create_array("in/x", data=np.arange(12.0).reshape(3, 4), chunks=(2, 2))
    group.create_array("t", data=np.array(["a", "bcd"], dtype="U3"))
    return tmp_path / "a.zarr"


def test_a_sound_store_passes(store, tmp_path):
    check_zarr(store, AtlasError)
    zarr.consolidate_metadata(store)
    check_zarr(store, AtlasError)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", store)
    check_zarr(packed, AtlasError)


def put_pickle(folder, mark):
    """An array of one object whose decoding runs a command."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.empty(1, object)
    values[0] = Touches(mark)
    (folder / "0").write_bytes(numcodecs.Pickle().encode(values))
    array = {
        "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": "",
        "order": "C", "compressor": None, "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}],
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(array))
    return array


def test_a_pickled_array_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    # as before numcodecs 0.16.6, which refuses by itself
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True)
    root, mark = tmp_path / "a.zarr", tmp_path / "ran"
    zarr.open_group(root, mode="w", zarr_format=2)
    put_pickle(root / "obs", mark)
    with pytest.raises(AtlasError, match=r"a\.zarr/obs names the codec 'pickle'"):
        check_zarr(root, AtlasError)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", root)
    with pytest.raises(AtlasError, match="names the codec 'pickle'"):
        check_zarr(packed, AtlasError)
    assert not mark.exists()
    with suppress(Exception):
        zarr.open_array(root / "obs", mode="r")[:]
    assert mark.exists()  # what would have happened


@pytest.mark.parametrize("name", [".zmetadata", "zarr.json"])
def test_a_pickled_array_in_consolidated_metadata_is_refused(tmp_path, name):
    held = {"shape": [1], "chunks": [1], "dtype": "|O", "filters": [{"id": "pickle"}]}
    if name == "zarr.json":
        held = {
            "shape": [1], "data_type": "string", "codecs": [{"name": "numcodecs.pickle"}],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
        }  # fmt: skip
    inside = {"metadata": {"obs/.zarray" if name == ".zmetadata" else "obs": held}}
    whole = {"node_type": "group", "zarr_format": 3, "consolidated_metadata": inside}
    (tmp_path / name).write_text(json.dumps(inside if name == ".zmetadata" else whole))
    with pytest.raises(AtlasError, match="obs names the codec"):
        check_zarr(tmp_path, AtlasError)


def changed(store, change):
    """Change the metadata of ``in/x``."""
    file = next(p for p in (store / "in" / "x").iterdir() if p.name in (".zarray", "zarr.json"))
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


WRONG = {
    "shape": (lambda v: v.update(shape=[10**9, 10**6]), "declares .* bytes and .* are stored"),
    "negative": (lambda v: v.update(shape=[-1, 4]), ">= 0"),
    "text": (lambda v: v.update(shape=["3", 4]), "Expected `int`"),
    "chunks": (
        lambda v: (
            v.update(chunks=[1 << 20, 1 << 20])
            if "chunks" in v
            else v["chunk_grid"]["configuration"].update(chunk_shape=[1 << 20, 1 << 20])
        ),
        "more than 1 GiB",
    ),
    "deep": (lambda v: v.update(attributes=json.loads("[" * 200 + "]" * 200)), "levels of JSON"),
}


@pytest.mark.parametrize("case", WRONG)
def test_metadata_that_cannot_be_right_are_refused(store, case):
    change, text = WRONG[case]
    changed(store, change)
    with pytest.raises(AtlasError, match=text):
        check_zarr(store, AtlasError)


def test_links_pipes_and_archives_that_swell_are_refused(store, tmp_path):
    os.mkfifo(store / "in" / "pipe")
    with pytest.raises(AtlasError, match="pipe is neither a file nor a folder"):
        check_zarr(store, AtlasError)
    (store / "in" / "pipe").unlink()
    (store / "out").symlink_to(tmp_path)
    with pytest.raises(AtlasError, match="out is neither a file nor a folder"):
        check_zarr(store, AtlasError)
    with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", b" " * (1 << 27))
    with pytest.raises(AtlasError, match=r"(declares|has) 134,217,728 bytes"):
        check_zarr(tmp_path / "big.zip", AtlasError)
