"""Training and annotating by coordinates alone, where there is no atlas and no genome."""

import json

import anndata as ad
import pytest

STATEMENT = "no atlas: peaks are matched by coordinates, DNA is not read"


@pytest.fixture(scope="session")
def plain_bundle(world):
    from peakatlas import train  # noqa: PLC0415 (torch is slow)

    train(world / "reference.h5ad", "cell_type").save(world / "plain-bundle")
    return world / "plain-bundle"


def test_train_says_that_no_dna_is_read(run, world, tmp_path):
    done = run("train", world / "reference.h5ad", "--labels", "cell_type", "-o", tmp_path / "b",
               "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert STATEMENT in done.err.splitlines()
    assert "dna" not in json.loads(done.out)["held_out"]["weights"]
    assert json.loads((tmp_path / "b" / "bundle.json").read_text())["spec"] is None


def test_annotate_matches_peaks_by_coordinates(run, world, plain_bundle, tmp_path):
    out = tmp_path / "annotated.h5ad"
    done = run("annotate", world / "reference.h5ad", "--bundle", plain_bundle, "-o", out,
               "--report", tmp_path / "report.html")  # fmt: skip
    assert done.code == 0, done.err
    assert STATEMENT in done.err.splitlines()
    annotated = ad.read_h5ad(out)
    right = annotated.obs["peakatlas_best"].astype(str) == annotated.obs["cell_type"].astype(str)
    assert right.mean() > 0.9
    assert set(annotated.var["peakatlas_tier"]) == {"missing"}
    assert json.loads(annotated.uns["peakatlas"]["record"])["spec"] is None


def test_a_bundle_without_dna_may_be_used_beside_an_atlas(
    run, world, built, plain_bundle, tmp_path
):
    alone, beside = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    words = ("annotate", world / "query.h5ad", "--bundle", plain_bundle, "-o")
    assert run(*words, alone).code == 0
    assert run(*words, beside, "--atlas", built).code == 0
    first, second = (ad.read_h5ad(path).obs["peakatlas_best"] for path in (alone, beside))
    assert first.tolist() == second.tolist()


def test_without_its_atlas_a_bundle_goes_by_coordinates(run, world, trained, tmp_path):
    done = run("annotate", world / "query.h5ad", "--bundle", trained, "-o", tmp_path / "o.h5ad")
    assert done.code == 0, done.err
    assert STATEMENT in done.err.splitlines()


def test_a_genome_needs_an_atlas(run, world, plain_bundle, tmp_path):
    genome = ("--genome", world / "genome.fa")
    for words in (
        ("train", world / "reference.h5ad", "--labels", "cell_type", "-o", tmp_path / "b"),
        ("annotate", world / "query.h5ad", "--bundle", plain_bundle, "-o", tmp_path / "o.h5ad"),
    ):
        done = run(*words, *genome)
        assert done.code == 2
        assert "without --atlas no peak is embedded" in done.err


def test_contigs_are_matched_to_those_of_the_reference(run, world, plain_bundle, tmp_path):
    query = ad.read_h5ad(world / "reference.h5ad")
    query.var["chrom"] = "1"
    query.var_names = [name.removeprefix("chr") for name in query.var_names]
    query.write_h5ad(tmp_path / "query.h5ad")
    words = ("annotate", tmp_path / "query.h5ad", "--bundle", plain_bundle, "-o",
             tmp_path / "o.h5ad")  # fmt: skip
    refused = run(*words)
    assert refused.code == 1
    assert "use --match-contigs" in refused.err
    assert run(*words, "--match-contigs").code == 0
    found = ad.read_h5ad(tmp_path / "o.h5ad").obs
    assert (found["peakatlas_best"].astype(str) == found["cell_type"].astype(str)).mean() > 0.9
