"""HDF5 files that come from elsewhere: refused before their arrays are read."""

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from peakatlas.classifier.counts.files import read_matrix_file
from peakatlas.engine.errors import CountsError


@pytest.fixture
def path(tmp_path):
    matrix = sp.random(6, 9, 0.5, "csr", np.float32, np.random.default_rng(0))
    ad.AnnData(matrix).write_h5ad(tmp_path / "a.h5ad")
    return tmp_path / "a.h5ad"


def test_a_sound_file_passes(path):
    assert read_matrix_file(path).shape == (6, 9)


def declares(file):
    del file["X/data"]
    file["X"].create_dataset("data", (10**11,), np.float32, chunks=(1 << 16,))


def links_out(file):
    del file["X/data"]
    file["X/data"] = h5py.ExternalLink("/etc/hostname", "/")


def loops(file):
    file["X/again"] = h5py.SoftLink("/X")


def lies_outside(file):
    del file["X/data"]
    file["X"].create_dataset("data", (4,), np.uint8, external=[("/etc/hostname", 0, 4)])


def is_virtual(file):
    del file["X/data"]
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
    file["X"].create_virtual_dataset("data", layout)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (declares, "X/data declares 400,000,000,000 bytes and 0 are stored"),
        (links_out, "X/data is a link to /. Write"),
        (loops, "X/again is a link to /X"),
        (lies_outside, "X/data lies in another file"),
        (is_virtual, "X/data lies in another file"),
    ],
)
def test_what_points_elsewhere_or_declares_too_much_is_refused(path, change, text):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(CountsError, match=text):
        read_matrix_file(path)
