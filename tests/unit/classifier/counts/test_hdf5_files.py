"""HDF5 files as programs leave them: user blocks, filters, locks, old forms, other kinds."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import anndata as ad
import h5py
import hdf5plugin
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from peakatlas.classifier.counts.hdf5_files import SIGNATURE, begins_hdf5
from peakatlas.classifier.counts.matrix import column_of, read_counts
from peakatlas.engine.errors import CountsError

COUNTS = [[1, 0, 2], [0, 3, 0]]
PEAKS = ["chr1:0-10", "chr1:20-30", "chr2:5-9"]
CELLS = ["AA-1", "CC-1"]


def cells(**layers) -> ad.AnnData:
    obs, var = pd.DataFrame(index=CELLS), pd.DataFrame(index=PEAKS)
    values = sp.csr_matrix(np.array(COUNTS, np.int32))
    return ad.AnnData(values, obs=obs, var=var, layers=layers)


def written(path: Path, adata: ad.AnnData | None = None) -> Path:
    (cells() if adata is None else adata).write_h5ad(path)
    return path


def after_block(path: Path, text: bytes, size: int = 512) -> Path:
    """The same HDF5 file behind a user block."""
    out = path.with_name(f"block-{path.name}")
    with h5py.File(path) as old, h5py.File(out, "w", userblock_size=size) as new:
        for name, value in old.attrs.items():
            new.attrs[name] = value
        for name in old:
            old.copy(name, new)
    with out.open("r+b") as file:
        file.write(text)
    return out


def is_right(path: Path, **options) -> bool:
    counts = read_counts(path, **options)
    return counts.matrix.toarray().tolist() == COUNTS and counts.peaks.names() == PEAKS


def refusal(path: Path) -> str:
    with pytest.raises(CountsError) as caught:
        read_counts(path)
    return str(caught.value)


@pytest.mark.parametrize("size", [512, 2048])
def test_a_user_block_comes_before_the_file(size, tmp_path):
    given = after_block(written(tmp_path / "a.h5ad"), b"MuData (format-version=0.1.0;)", size)
    assert is_right(given)
    (tmp_path / "b.gz").write_bytes(gzip.compress(given.read_bytes()))
    assert is_right(tmp_path / "b.gz")


def test_a_signature_counts_only_where_it_may_stand():
    assert begins_hdf5(SIGNATURE) and begins_hdf5(bytes(1024) + SIGNATURE)
    assert not begins_hdf5(bytes(100) + SIGNATURE)


def test_filters_of_other_programs_are_there(tmp_path):
    path = tmp_path / "f.h5ad"
    cells().write_h5ad(path)
    with h5py.File(path, "r+") as file:
        values = file["X/data"][:]
        del file["X/data"]
        file["X"].create_dataset("data", data=values, chunks=(3,), **hdf5plugin.Zstd())
    assert is_right(path)


@pytest.mark.parametrize(
    ("indptr", "indices"), [(np.uint64, np.uint32), (np.int64, np.int32), (np.uint32, np.int64)]
)
@pytest.mark.parametrize("values", [np.uint8, np.uint32, np.float64, np.bool_])
def test_whole_numbers_of_all_types(indptr, indices, values, tmp_path):
    path = written(tmp_path / "t.h5ad")
    with h5py.File(path, "r+") as file:
        for name, dtype in (("indptr", indptr), ("indices", indices), ("data", values)):
            old = file[f"X/{name}"][:]
            del file[f"X/{name}"]
            file[f"X/{name}"] = old.astype(dtype)
    expected = np.array(COUNTS).astype(values).astype(int).tolist()
    assert read_counts(path).matrix.toarray().tolist() == expected


def as_anndata_0_7(path: Path) -> Path:
    """Rewrite a file without the marks that anndata 0.8 brought, categories apart."""
    with h5py.File(path, "r+") as file:
        for name in ("encoding-type", "encoding-version"):
            del file.attrs[name]
        for group in ("obs", "var"):
            file[group].attrs["encoding-version"] = "0.1.0"
        for group in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            del file[group]
        codes = np.array([1, 0], np.int8)
        file["obs"].create_dataset("type", data=codes)
        file["obs"].create_group("__categories")["type"] = np.array(["B", "T"], "S")
        names = file["obs/__categories/type"]
        file["obs/type"].attrs["categories"] = names.ref
        file["obs"].attrs["column-order"] = np.array(["type"], h5py.string_dtype())
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [">f4", ">i8", "f2"])
@pytest.mark.parametrize("made", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_numbers_that_scipy_does_not_take_are_read(kind, made, tmp_path):
    given = cells()
    given.X = made(given.X.toarray())
    path = written(tmp_path / "q.h5ad", given)
    with h5py.File(path, "r+") as file:
        place = "X" if made is np.asarray else "X/data"
        values, attributes = file[place][:], dict(file[place].attrs)
        del file[place]
        file[place] = values.astype(kind)
        file[place].attrs.update(attributes)
    assert read_counts(path).matrix.toarray().tolist() == COUNTS


def test_half_floats_in_memory_are_read():
    given = cells()
    given.X = given.X.toarray().astype(np.float16)
    assert read_counts(given).matrix.toarray().tolist() == COUNTS


def test_files_of_anndata_0_7_are_read_plain_and_packed(tmp_path):
    old = as_anndata_0_7(written(tmp_path / "old.h5ad"))
    packed = tmp_path / "old.h5ad.gz"
    packed.write_bytes(gzip.compress(old.read_bytes()))
    for path in (old, packed):
        assert is_right(path)
        assert read_counts(path).obs["type"].tolist() == ["T", "B"]


def test_a_file_that_is_being_written_is_called_locked(tmp_path):
    path = written(tmp_path / "l.h5ad")
    code = (
        "import h5py, sys; f = h5py.File(sys.argv[1], 'r+', locking=True); "
        "print('held', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None and writer.stdout.readline() == b"held\n"
    try:
        assert refusal(path).startswith("l.h5ad is locked: another program has it open for writing")
    finally:
        writer.communicate(b"")


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("row_attrs", "a Loom file. Read it with anndata.read_loom, write it as h5ad"),
        ("assays", "an h5Seurat file. Convert it with SeuratDisk::Convert"),
        ("Fragments", "an ArchR Arrow file. Export its peak matrix"),
    ],
)
def test_other_kinds_of_hdf5_are_named(member, says, tmp_path):
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file.create_group(member)
    assert f"o.h5: {says}" in refusal(tmp_path / "o.h5")


def test_groups_that_are_linked_twice_are_refused(tmp_path):
    path = written(tmp_path / "k.h5ad")
    with h5py.File(path, "r+") as file:
        file["uns/again"] = file["obs"]
    assert "is linked more than once" in refusal(path)


@pytest.mark.parametrize("place", ["X", "layers/more", "raw/X", "obsp/near"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("indices", [99, 2, 1]),
        ("indices", [-5, 2, 1]),
        ("indptr", [0, 9, 3]),
        ("indptr", [0, 3, 2]),
    ],
)
def test_indices_outside_of_a_matrix_are_refused(place, name, values, tmp_path):
    given = cells(more=sp.csr_matrix(np.array(COUNTS)))
    given.raw = given
    given.obsp["near"] = sp.csr_matrix(np.array([[1, 1], [1, 0]]))
    path = written(tmp_path / "i.h5ad", given)
    with h5py.File(path, "r+") as file:
        file[f"{place}/{name}"][:] = values
    assert "It is damaged: fetch or write it again" in refusal(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int64])
def test_ends_of_rows_that_go_down_are_refused_in_any_type(dtype, tmp_path):
    path = written(tmp_path / "u.h5ad")
    with h5py.File(path, "r+") as file:
        del file["X/indptr"]
        file["X/indptr"] = np.array([0, 3, 2], dtype)
    assert "not a whole sparse matrix (its indptr goes down)" in refusal(path)


def test_a_10x_matrix_whose_parts_differ_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        matrix = sp.csr_matrix(np.array(COUNTS))
        for name in ("data", "indices", "indptr"):
            file[f"matrix/{name}"] = getattr(matrix, name)
        file["matrix/barcodes"] = np.array(CELLS, "S")
        file["matrix/shape"] = [2, 3]
        file["matrix/features/id"] = np.array(PEAKS, "S")
        file["matrix/features/feature_type"] = np.array(["Gene Expression"] * 3, "S")
    assert "x.h5: the matrix says that it is [2, 3], but there are 3 features" in refusal(
        tmp_path / "x.h5"
    )
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["matrix/shape"][:] = [3, 2]
    assert is_right(tmp_path / "x.h5")  # names are those of peaks, whatever the types say


def h5mu(path: Path) -> Path:
    rna = ad.AnnData(np.ones((2, 1)), obs=pd.DataFrame({"type": ["T", "B"]}, index=CELLS[::-1]))
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "MuData"
        ad.io.write_elem(file, "mod/rna", rna)
        own = cells()
        own.obs["depth"] = [3, 4]
        ad.io.write_elem(file, "mod/my_atac", own)
        ad.io.write_elem(file, "obs", pd.DataFrame({"rna:kind": ["k", "m"]}, index=CELLS))
    return path


def test_labels_of_other_modalities_are_found_by_their_names(tmp_path):
    counts = read_counts(h5mu(tmp_path / "m.h5mu"))
    assert column_of(counts, "rna:type", "--labels").tolist() == ["B", "T"]
    assert column_of(counts, "rna:kind", "--labels").tolist() == ["k", "m"]
    assert list(counts.obs) == ["depth", "rna:kind", "rna:type"]


def test_backed_objects_are_read(tmp_path):
    given = cells(more=sp.csr_matrix(np.array(COUNTS) * 2))
    given.raw = given
    backed = ad.read_h5ad(written(tmp_path / "b.h5ad", given), backed="r")
    assert read_counts(backed).matrix.toarray().tolist() == COUNTS
    assert read_counts(backed, use_raw=True).matrix.toarray().tolist() == COUNTS
    doubled = (np.array(COUNTS) * 2).tolist()
    assert read_counts(backed, layer="more").matrix.toarray().tolist() == doubled


def test_backed_rows_whose_ends_do_not_fit_are_refused(tmp_path):
    path = written(tmp_path / "b.h5ad")
    with h5py.File(path, "r+") as file:
        file["X/indptr"][:] = [0, 3, 1]
    with pytest.raises(CountsError, match="its indptr does not fit"):
        _ = read_counts(ad.read_h5ad(path, backed="r")).matrix
