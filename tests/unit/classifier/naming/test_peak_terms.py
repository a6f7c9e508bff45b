"""Peaks described by terms carry labels where no peak is shared, across builds."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import peakatlas
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.models.profiles import TypeProfiles
from peakatlas.classifier.models.protocol import Cells, DnaInput, Pair
from peakatlas.classifier.models.terms import TermProfiles, term_vectors
from peakatlas.classifier.naming.peak_terms import PeakTerms
from peakatlas.engine.errors import BundleError, CountsError, LabelsError

TERMS = ("CL:0000623", "CL:0000788", "CL:0000860")
TYPES = ("NK", "B", "monocyte")
N_PEAKS = 300


def start_of(build: str) -> np.ndarray:
    """Places of peaks: those of the other build overlap some of these by chance."""
    return 1_000 * np.arange(N_PEAKS) + (500_000 if build == "hg19" else 500_150)


def terms_on(build: str) -> np.ndarray:
    return np.random.default_rng(1 if build == "hg19" else 2).integers(0, 3, N_PEAKS)


@pytest.fixture(scope="module")
def elements(tmp_path_factory):
    """A table of elements on each build."""
    folder = tmp_path_factory.mktemp("tables")
    for build in ("hg19", "hg38"):
        places = zip(start_of(build), terms_on(build), strict=True)
        lines = [f"chr1\t{s + 100}\t{s + 150}\t{TERMS[t]}" for s, t in places]
        (folder / f"{build}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def cells(build: str, n: int, seed: int) -> ad.AnnData:
    """Cells that open peaks with the term of their type five times as often."""
    rng = np.random.default_rng(seed)
    types = rng.integers(0, 3, n)
    chance = np.where(terms_on(build)[None] == types[:, None], 0.5, 0.1)
    counts = sp.csr_matrix((rng.random(chance.shape) < chance).astype(np.float32))
    names = [f"chr1:{s}-{s + 200}" for s in start_of(build)]
    obs = pd.DataFrame({"cell_type": np.array(TYPES)[types]}, [f"c{i}" for i in range(n)])
    return ad.AnnData(counts, obs, pd.DataFrame(index=names))


@pytest.fixture(scope="module")
def bundle(elements):
    terms = PeakTerms.open("hg19", elements / "hg19.tsv")
    return peakatlas.train(cells("hg19", 120, 0), "cell_type", terms=terms)


def test_labels_cross_builds_without_a_shared_peak(bundle, elements, tmp_path):
    bundle.save(tmp_path / "b")
    query = cells("hg38", 90, 1)
    terms = PeakTerms.open("hg38", elements / "hg38.tsv")
    found = peakatlas.annotate(query, tmp_path / "b", terms=terms)
    assert (found.obs["peakatlas_best"].astype(str) == query.obs["cell_type"]).mean() > 0.95
    record = json.loads(found.uns["peakatlas"]["record"])
    assert record["shared_counts"] == 0 and record["labeller"]["first_weights"]["terms"] > 0
    assert record["read"]["elements"] == str(elements / "hg38.tsv")
    assert found.obsm["X_peakatlas"].shape[0] == 90
    peakatlas.tl.annotate(query, tmp_path / "b", terms=terms, progress=False)
    assert (query.obs["peakatlas_best"] == found.obs["peakatlas_best"]).all()


def test_terms_of_other_peaks_say_nothing(bundle, elements, tmp_path):
    lines = (elements / "hg38.tsv").read_text().splitlines()
    order = np.random.default_rng(0).permutation(len(lines))
    kinds = [lines[i].split("\t")[3] for i in order]
    places = [line.rpartition("\t")[0] for line in lines]
    shuffled = [f"{place}\t{kind}" for place, kind in zip(places, kinds, strict=True)]
    (tmp_path / "shuffled.tsv").write_text("\n".join(shuffled) + "\n")
    query = cells("hg38", 90, 1)
    terms = PeakTerms.open("hg38", tmp_path / "shuffled.tsv")
    found = peakatlas.annotate(query, bundle, terms=terms)
    assert (found.obs["peakatlas_best"].astype(str) == query.obs["cell_type"]).mean() < 0.75


def test_a_bundle_keeps_which_elements_it_reads(bundle, tmp_path):
    bundle.save(tmp_path / "b")
    again = Bundle.load(tmp_path / "b")
    assert (again.elements.source, again.elements.build) == ("hg19.tsv", "hg19")
    assert again.elements.terms == list(TERMS)
    assert again.reference.dna.kind == "terms"
    np.testing.assert_array_equal(again.reference.dna.embeddings, bundle.reference.dna.embeddings)


def test_without_the_elements_it_is_said(bundle):
    said: list[str] = []
    peakatlas.annotate(cells("hg19", 60, 3), bundle, progress=said.append)
    assert "hg19.tsv, which is not read: give --elements and --build" in str(said)


def test_elements_that_do_not_fit_are_refused(bundle, elements, tmp_path, atlas):
    few = tmp_path / "few.tsv"
    few.write_text("chr1\t500100\t500200\tCL:0000623\nchr1\t501100\t501200\tCL:0000788\n")
    with pytest.raises(LabelsError, match=r"few\.tsv lacks 1 of the terms .* such as CL:0000860"):
        peakatlas.annotate(cells("hg19", 60, 3), bundle, terms=PeakTerms.open("hg19", few))
    terms = PeakTerms.open("hg19", elements / "hg19.tsv")
    plain = peakatlas.train(cells("hg19", 60, 0), "cell_type")
    with pytest.raises(BundleError, match="trained without annotated elements"):
        peakatlas.annotate(cells("hg19", 60, 3), plain, terms=terms)
    with pytest.raises(ValueError, match="by an atlas or by terms"):
        peakatlas.train(cells("hg19", 60, 0), "cell_type", atlas, terms=terms)
    with pytest.raises(CountsError, match=r"the peaks are of hg38, hg19\.tsv is of hg19\. Give"):
        PeakTerms(annotated=terms.annotated, build="hg38")


def test_a_query_of_which_nothing_can_be_read_is_refused(bundle, elements, tmp_path):
    lines = (elements / "hg38.tsv").read_text().splitlines()
    wanted = {line.split("\t")[3]: line for line in lines}
    (tmp_path / "few.tsv").write_text("\n".join(wanted.values()) + "\n")  # 3 peaks have a term
    terms = PeakTerms.open("hg38", tmp_path / "few.tsv")
    with pytest.raises(CountsError, match="nothing in the query can be read"):
        peakatlas.annotate(cells("hg38", 60, 1)[:, ::2].copy(), bundle, terms=terms)


def test_vectors_weigh_a_peak_by_its_terms():
    vectors = term_vectors(sp.csr_matrix(np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])))
    np.testing.assert_allclose(vectors[:2], [[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]])
    assert np.isnan(vectors[2]).all() and vectors.dtype == np.float32


def test_members_read_what_their_peaks_are_described_by():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.integers(0, 2, (30, 60)).astype(np.float32))
    side = {
        kind: Cells(
            counts=counts,
            dna=DnaInput(
                counts=counts,
                embeddings=rng.normal(size=(60, 4)).astype(np.float32),
                column=np.where(np.arange(60) < 30, np.arange(60), -1),
                kind=kind,
            ),
        )
        for kind in ("dna", "terms")
    }
    for member, kind, n_read in ((TypeProfiles(), "dna", 30), (TermProfiles(), "terms", 60)):
        other = {"dna": "terms", "terms": "dna"}[kind]
        assert member.name == kind
        assert member.usable(_pair(side[kind], side[kind]))
        assert not member.usable(_pair(side[other], side[other]))
        assert not member.usable(_pair(side[kind], side[other]))
        assert len(member.reads(side[kind].dna)) == n_read


def _pair(reference, query) -> Pair:
    return Pair(
        reference=reference, query=query, codes=np.arange(30) % 2, n_types=2, axes=lambda n: None
    )
