"""Every kind of file gives the same counts, told by content; refusals say what to do."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite

from peakatlas.classifier.counts import anndata_groups
from peakatlas.classifier.counts.matrix import column_of, read_counts
from peakatlas.engine.errors import CountsError

COUNTS = [[1, 0, 2], [0, 3, 0]]
PEAKS = ["chr1:0-10", "chr1:20-30", "chr2:5-9"]
CELLS = ["AA-1", "CC-1"]


def cells(values=COUNTS, names=PEAKS) -> ad.AnnData:
    obs = pd.DataFrame({"batch": ["x", "y"]}, index=CELLS)
    return ad.AnnData(sp.csr_matrix(np.array(values)), obs=obs, var=pd.DataFrame(index=names))


def h5mu(path: Path, **modalities: ad.AnnData) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "MuData"
        for name, adata in modalities.items():
            ad.io.write_elem(file, f"mod/{name}", adata)
        obs = pd.DataFrame({"cell_type": ["T", "B"], "batch": "other", "atac:n": 1}, index=CELLS)
        ad.io.write_elem(file, "obs", obs.iloc[::-1])
    return path


def tenx(path: Path, kinds=("Peaks",) * 3, names=PEAKS) -> Path:
    matrix = sp.csr_matrix(np.array(COUNTS, np.int32))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(CELLS, "S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = [3, 2]
        group["features/id"] = np.array(names, "S")
        group["features/feature_type"] = np.array(kinds, "S")
    return path


def folder(path: Path, *, packed: bool, features: list[str] | None = None) -> Path:
    path.mkdir()
    mmwrite(path / "matrix.mtx", sp.coo_matrix(np.array(COUNTS).T))
    (path / "barcodes.tsv").write_text("".join(f"{name}\n" for name in CELLS))
    if features is None:
        (path / "peaks.bed").write_text("chr1\t0\t10\nchr1\t20\t30\nchr2\t5\t9\n")
    else:
        (path / "features.tsv").write_text("".join(f"{line}\n" for line in features))
    if packed:
        for file in list(path.iterdir()):
            pack(file, path / f"{file.name}.gz")
            file.unlink()
    return path


def pack(file: Path, out: Path) -> Path:
    out.write_bytes(gzip.compress(file.read_bytes()))
    return out


def zip_folder(path: Path, out: Path, root: str = "") -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, f"{root}{file.relative_to(path)}")
    return out


def as_zarr(path: Path) -> Path:
    cells().write_zarr(path)
    return path


def h5ad(path: Path, adata: ad.AnnData | None = None) -> Path:
    (cells() if adata is None else adata).write_h5ad(path)
    return path


def dense(path: Path) -> Path:
    return h5ad(path, ad.AnnData(np.array(COUNTS), cells().obs, cells().var))


MAKERS = {
    "h5ad": h5ad,
    "h5ad called otherwise": lambda path: h5ad(path.with_suffix(".dat")),
    "h5ad.gz": lambda path: pack(h5ad(path), path.with_suffix(".gz")),
    "dense h5ad": dense,
    "h5mu": lambda path: h5mu(path, rna=cells([[9, 9], [9, 9]], ["g1", "g2"]), atac=cells()),
    "h5mu with Peaks": lambda path: h5mu(path, Peaks=cells(), rna=cells()),
    "h5mu with one": lambda path: h5mu(path, anything=cells()),
    "zarr": as_zarr,
    "zarr in a zip": lambda path: zip_folder(as_zarr(path), path.with_suffix(".zip")),
    "zarr folder in a zip": lambda path: zip_folder(
        as_zarr(path), path.with_suffix(".zip"), "a.zarr/"
    ),
    "10x h5": tenx,
    "10x h5.gz": lambda path: pack(tenx(path), path.with_suffix(".gz")),
    "10x folder": lambda path: folder(path, packed=False),
    "10x folder, gzip": lambda path: folder(path, packed=True),
    "10x matrix.mtx": lambda path: folder(path, packed=True) / "matrix.mtx.gz",
    "10x folder, features": lambda path: folder(
        path, packed=True, features=[f"{name}\t{name}\tPeaks" for name in PEAKS]
    ),
    "10x folder, names only": lambda path: folder(path, packed=False, features=PEAKS),
}


def halved(path: Path, place: str) -> Path:
    """The same file with values of 16 bits, which neither SciPy nor AnnData can hold as sparse."""
    with h5py.File(path, "a") as file:
        values = file[place][:].astype(np.float16)
        del file[place]
        file[place] = values
    return path


@pytest.mark.parametrize("kind", ["h5ad", "10x h5", "dense h5ad", "in memory"])
def test_counts_of_sixteen_bits_are_counts(kind, tmp_path):
    path = tmp_path / "given"
    if kind == "in memory":
        given = ad.AnnData(np.array(COUNTS, np.float16), cells().obs, cells().var)
    elif kind == "dense h5ad":
        given = h5ad(path, ad.AnnData(np.array(COUNTS, np.float16), cells().obs, cells().var))
    else:
        given = halved(MAKERS[kind](path), "X/data" if kind == "h5ad" else "matrix/data")
    assert read_counts(given).matrix.toarray().tolist() == COUNTS


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_gives_the_same_counts(kind, tmp_path):
    counts = read_counts(MAKERS[kind](tmp_path / "given"))
    assert counts.matrix.toarray().tolist() == COUNTS
    assert counts.peaks.names() == PEAKS
    assert counts.obs.index.tolist() == CELLS
    assert sp.issparse(counts.adata.X)


def test_genes_of_a_multiome_matrix_are_left_out(tmp_path):
    kinds = ("Gene Expression", "Peaks", "Peaks")
    counts = read_counts(tenx(tmp_path / "arc.h5", kinds, ["GENE", *PEAKS[1:]]))
    assert counts.matrix.toarray().tolist() == [[0, 2], [3, 0]]
    assert counts.peaks.names() == PEAKS[1:]
    lines = ["ENSG1\tG\tGene Expression\tchr1\t5\t6", "chr1:20-30\tp\tPeaks", "chr2:5-9\tp\tPeaks"]
    given = folder(tmp_path / "arc", packed=True, features=lines)
    assert read_counts(given).matrix.toarray().tolist() == [[0, 2], [3, 0]]


def test_labels_of_a_whole_h5mu_reach_its_peaks(tmp_path):
    counts = read_counts(h5mu(tmp_path / "m.h5mu", atac=cells(), rna=cells()))
    assert counts.obs["cell_type"].tolist() == ["T", "B"]
    assert counts.obs["batch"].tolist() == ["x", "y"]
    assert list(counts.obs) == ["batch", "cell_type", "rna:batch"]


class MuDataLike:
    """What is read of a MuData."""

    def __init__(self, obs, **modalities):
        self.obs, self.mod = obs, modalities


def test_a_modality_may_be_named(tmp_path):
    path = h5mu(tmp_path / "m.h5mu", mine=cells(), other=cells())
    assert read_counts(path, mod="mine").modality == "mine"
    with pytest.raises(CountsError, match=r"Name the one with the peaks: --mod NAME \(mod=\)"):
        read_counts(path)
    with pytest.raises(CountsError, match="no modality 'nope'; there are: mine, other"):
        read_counts(path, mod="nope")
    plain = h5ad(tmp_path / "p.h5ad", cells())
    with pytest.raises(CountsError, match=r"p\.h5ad: no MuData, so there is no modality 'mine'"):
        read_counts(plain, mod="mine")
    with pytest.raises(CountsError, match="AnnData: no MuData"):
        read_counts(cells(), mod="mine")


def test_a_mudata_in_memory_is_read_as_its_file():
    shared = pd.DataFrame({"cell_type": ["B", "T"], "atac:n": 1}, index=CELLS[::-1])
    given = MuDataLike(shared, rna=cells([[9, 9, 9]] * 2), atac=cells())
    counts = read_counts(given)
    assert counts.matrix.toarray().tolist() == COUNTS
    assert counts.obs["cell_type"].tolist() == ["T", "B"]
    assert list(counts.obs) == ["batch", "cell_type", "rna:batch"]
    assert counts.modality == "atac" and counts.adata is not None
    assert list(given.mod["atac"].obs) == ["batch"]
    assert read_counts(given, mod="rna").matrix.sum() == 54


def test_a_dense_matrix_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(anndata_groups, "_BLOCK_VALUES", 3)
    values = np.arange(12).reshape(4, 3) % 5
    given = ad.AnnData(values, var=pd.DataFrame(index=PEAKS))
    given.obsm["X"] = np.ones((4, 2))
    given.layers["counts"] = sp.csr_matrix(values)
    counts = read_counts(h5ad(tmp_path / "d.h5ad", given))
    assert counts.matrix.toarray().tolist() == values.tolist()
    assert counts.adata.obsm["X"].tolist() == [[1, 1]] * 4
    assert counts.adata.layers["counts"].toarray().tolist() == values.tolist()


def test_all_that_an_h5ad_has_is_read(tmp_path):
    given = cells()
    given.raw = given
    given.uns["note"] = {"a": 1}
    given.obs["type"] = pd.Categorical(["u", "v"])
    given.obsm["X_pca"] = np.ones((2, 2))
    given.obsp["near"] = sp.eye(2, format="csr")
    given.write_h5ad(tmp_path / "g.h5ad")
    read, plain = read_counts(tmp_path / "g.h5ad").adata, ad.read_h5ad(tmp_path / "g.h5ad")
    pd.testing.assert_frame_equal(read.obs, plain.obs)
    assert read.uns == plain.uns
    assert read.raw.X.toarray().tolist() == COUNTS
    assert read.obsm["X_pca"].tolist() == plain.obsm["X_pca"].tolist()
    assert read.obsp["near"].toarray().tolist() == np.eye(2).tolist()


def refusal(path: Path) -> str:
    with pytest.raises(CountsError) as caught:
        read_counts(path)
    return str(caught.value)


def test_modalities_are_named(tmp_path):
    text = refusal(h5mu(tmp_path / "m.h5mu", rna=cells(), prot=cells()))
    assert text == (
        "m.h5mu: no modalities are called atac or peaks; there are: prot, rna. "
        "Name the one with the peaks: --mod NAME (mod=)."
    )
    text = refusal(h5mu(tmp_path / "two.h5mu", ATAC=cells(), peaks=cells()))
    assert text.startswith("two.h5mu: 2 modalities are called atac or peaks; there are: ATAC, peak")


def test_fragments_are_told_from_counts(tmp_path):
    path = tmp_path / "fragments.tsv.gz"
    path.write_bytes(gzip.compress(b"# id=1\nchr1\t5\t90\tAA-1\t1\n"))
    assert refusal(path) == (
        "fragments.tsv.gz: these are fragments, not counts. Count them first: peakatlas count "
        "fragments.tsv.gz PEAKS.bed -o counts.h5ad, then give counts.h5ad."
    )


def test_an_unknown_file_shows_how_it_begins(tmp_path):
    (tmp_path / "t.h5ad").write_text("no matrix\nat all")
    text = refusal(tmp_path / "t.h5ad")
    assert text.startswith(
        "t.h5ad: not a count matrix of a known kind; it begins with 'no matrix'. Give h5ad, h5mu,"
    )


def test_no_peaks_among_the_features(tmp_path):
    text = refusal(tenx(tmp_path / "rna.h5", ("Gene Expression",) * 3, ["A", "B", "C"]))
    assert text.startswith("rna.h5: no feature has the type 'Peaks'; types there are: Gene Expr")


def test_other_hdf5_files_folders_and_archives(tmp_path):
    with h5py.File(tmp_path / "o.h5", "w") as file:
        file["frames"] = [1]
    assert "o.h5: an HDF5 file, but no count matrix: it holds frames." in refusal(tmp_path / "o.h5")
    (tmp_path / "empty").mkdir()
    assert "empty: no count matrix in this folder, only nothing." in refusal(tmp_path / "empty")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert "z.zip: a zip archive without a Zarr group." in refusal(tmp_path / "z.zip")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    )
    assert "bare: no AnnData: it holds nothing." in refusal(tmp_path / "bare")


def test_damage_is_told_from_another_kind(tmp_path):
    whole = h5ad(tmp_path / "w.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(whole[:3000])
    text = refusal(tmp_path / "cut.h5ad")
    assert "cut.h5ad: cannot be read (OSError: " in text
    assert text.endswith("It is damaged or incomplete: fetch or write it again.")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(whole)[:200])
    assert "cut.gz" in refusal(tmp_path / "cut.gz")
    (tmp_path / "head.gz").write_bytes(b"\x1f\x8bno gzip")
    assert "head.gz: damaged or truncated" in refusal(tmp_path / "head.gz")


def test_files_of_a_folder_that_do_not_belong_together(tmp_path):
    given = folder(tmp_path / "f", packed=False)
    (given / "barcodes.tsv").write_text("AA-1\n")
    text = refusal(given)
    assert text.endswith(
        "matrix.mtx: has 3 rows and 2 columns, but there are 3 features and 1 barcodes. "
        "The files do not belong together."
    )
    (given / "barcodes.tsv").unlink()
    assert "f: has no barcodes.tsv (nor .gz of it)." in refusal(given)
    shutil.rmtree(given)
    given = folder(tmp_path / "f", packed=False)
    (given / "peaks.bed").unlink()
    assert "f: has no features.tsv or peaks.bed (nor .gz of it)." in refusal(given)
    (given / "peaks.bed").write_text("chr1\t0\n")
    assert "peaks.bed line 1: has 2 column(s)" in refusal(given)


def test_a_damaged_matrix_of_a_folder(tmp_path):
    given = folder(tmp_path / "f", packed=True)
    packed = given / "matrix.mtx.gz"
    packed.write_bytes(packed.read_bytes()[:-12])
    assert "matrix.mtx.gz: not a whole Matrix Market file" in refusal(given)
    packed.unlink()
    mmwrite(given / "matrix.mtx", np.ones((3, 2)))
    assert "matrix.mtx: a dense matrix." in refusal(given)


def test_labels_come_from_a_zarr_as_from_an_h5ad(tmp_path):
    obs = pd.DataFrame({"cell_type": list("aaabbb")}, index=[f"c{i}" for i in range(6)])
    given = ad.AnnData(sp.csr_matrix(np.ones((6, 3), int)), obs=obs, var=pd.DataFrame(index=PEAKS))
    given.write_zarr(tmp_path / "r.zarr")
    assert column_of(read_counts(tmp_path / "r.zarr"), "cell_type", "--labels").tolist() == list(
        "aaabbb"
    )


def without_chunks(array: Path) -> None:
    for path in list(array.rglob("*")):
        if path.name.replace(".", "").isdigit() and path.is_file():
            path.unlink()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_a_zarr_copy_that_lacks_a_chunk_of_counts_is_refused(zarr_format, part, tmp_path):
    path = tmp_path / "r.zarr"
    with ad.settings.override(zarr_write_format=zarr_format):
        cells().write_zarr(path)
    without_chunks(path / "X" / part)
    with pytest.raises(CountsError, match=rf"X/{part}: 1 of 1 chunks are not there"):
        read_counts(path)


def test_matrices_that_are_zero_throughout_are_whole(tmp_path):
    for name, values in (("none", [[0, 0, 0], [0, 0, 0]]), ("one", [[1], [2]])):
        cells(values, PEAKS[: len(values[0])]).write_zarr(tmp_path / name)
        assert read_counts(tmp_path / name).matrix.toarray().tolist() == values


def test_a_zarr_copy_that_lacks_codes_warns(tmp_path):
    given = cells()
    given.obs["cell_type"] = pd.Categorical(["B", "T"])
    given.write_zarr(tmp_path / "r.zarr")
    without_chunks(tmp_path / "r.zarr" / "obs" / "cell_type" / "codes")
    with pytest.warns(UserWarning, match="obs/cell_type: 1 of 1 chunks are not there"):
        assert read_counts(tmp_path / "r.zarr").obs["cell_type"].tolist() == ["B", "B"]


def test_a_dense_zarr_copy_that_lacks_a_chunk_warns(tmp_path):
    given = cells()
    given.X = np.array(COUNTS, np.float32)
    given.write_zarr(tmp_path / "r.zarr")
    without_chunks(tmp_path / "r.zarr" / "X")
    with pytest.warns(UserWarning, match="X: 1 of 1 chunks are not there; their counts are read"):
        assert read_counts(tmp_path / "r.zarr").matrix.nnz == 0
