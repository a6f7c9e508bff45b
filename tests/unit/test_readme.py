"""The README's figures are those of the committed results."""

import re

import pytest

from benchmarks.annotate_tables import (
    full_table,
    novelty_table,
    seeds_of,
    shared_table,
    short_table,
)
from benchmarks.readme_tables import (
    ROOT,
    atlas_table,
    embed_table,
    far_table,
    headline_table,
    peers_table,
    with_block,
    with_tables,
)

README = (ROOT / "README.md").read_text()


def test_tables_are_those_generated_from_the_results():
    assert with_tables(README) == README


def test_speed_table_has_a_column_a_shape():
    where = {"date": "2026-01-01", "machine": "a CPU, 2 cores", "commit": "abc"}
    names = ("ratio_vs_naive", "ratio_vs_sentence_transformers", "fraction_of_gemm_peak",
             "fraction_of_gemm_peak_2_threads", "min_cosine_vs_fp32")  # fmt: skip
    values = {name: {"50m": 0.99991, "500m": 4.456} for name in names}
    values["ratio_vs_openvino_bf16"] = {"50m": None, "500m": 1.0}
    lines = embed_table({"shapes": ["50m", "500m"], "provenance": where, **values}).splitlines()
    assert lines[0] == "| NT v2 shape, random weights | 50M | 500M |"
    assert lines[2].endswith("| 0.9999 | 4.46 |")
    assert lines[4].endswith("| – | 1.00 |")


def test_atlas_table_says_so_when_something_is_wrong():
    where = {"date": "2026-01-01", "machine": "a CPU, 2 cores", "commit": "abc"}
    numbers = ("seconds_total", "reference_seconds", "rss_mb", "reference_rss_mb",
               "join_ratio_vs_pyranges", "gather_fraction_of_memcpy",
               "faiss_join_seconds")  # fmt: skip
    sizes = {"queries": 2000, "keys": 30_000, "dim": 8, "faiss_identical": False}
    lookup = dict.fromkeys(numbers, 1234.567) | sizes | {"provenance": where}
    disk = {"write_mb_s": 800.4, "write_ratio_vs_raw": 0.987, "provenance": where}
    faults = {"kills": 9, "lost_rows": 3, "wrong_rows": 0, "identical_to_uninterrupted": False}
    lines = atlas_table(lookup, disk, faults | {"provenance": where}).splitlines()
    assert lines[2].startswith("| 2,000 peaks × 30,000 rows of 8: ")
    assert lines[2].endswith("| 1234.57 s, 1,235 MB |")
    assert lines[6].endswith("| OTHER PAIRS, 1234.57 s |")
    assert lines[7].endswith("| 800 MB/s; 0.99 |")
    assert (
        lines[8] == "| 9 writers killed, 1 to 3 at a time | 3 rows lost, 0 wrong, files DIFFERENT |"
    )


def test_far_table_says_so_when_a_reader_finds_other_values():
    where = {"date": "2026-01-01", "machine": "a CPU, 2 cores", "commit": "abc"}
    far = {
        "keys": 3000, "remote_one_peak_bytes": 68_166, "remote_10k_peaks_bytes": 1_200_000,
        "interval_bytes_per_row": 4.075, "open_10m_seconds": 0.91,
        "digest_index_10m_seconds": 2.04, "overlap_mean_rss_mb": 99.6, "provenance": where,
    }  # fmt: skip
    interop = {"rows": 1000, "zarr_seconds": 1.04, "xarray_seconds": 2, "peakatlas_seconds": 0.5,
               "values_equal": False, "provenance": where}  # fmt: skip
    lines = far_table(far, interop).splitlines()
    assert lines[2] == "| 3,000 rows at a URL: bytes to look up one peak | 68 kB |"
    assert lines[3].endswith("| 1,200 kB |")
    assert lines[5].endswith("| 0.9 s; 2.0 s |")
    assert lines[7] == (
        "| 1,000 rows read by each: OTHER VALUES | zarr 1.0 s, xarray 2.0 s, peakatlas 0.5 s |"
    )


WHERE = {"date": "2026-01-01", "machine": "a CPU, 2 cores", "commit": "abc"}
ANNOTATE = {
    "seeds": {"forebrain/plain": 3, "forebrain/thin25": 3},
    "cells_at_most": 3000,
    "sets": {
        "forebrain": {
            "plain": {
                "accuracy": 0.5, "accuracy_sd": 0.01, "macro_f1": 0.25, "macro_f1_sd": 0.02,
                "linear_accuracy": 0.4, "linear_macro_f1": 0.2, "ece": 0.0412, "coverage": 0.9,
                "ece_floor": 0.03, "unassigned": 0.02,
            },
            "thin25": {"accuracy": 0.3, "macro_f1": 0.1},
        }
    },
    "pairs": {
        "schep2017_shared/share0.0/plain": {"accuracy": 0.86, "macro_f1": 0.81},
        "schep2017_shared/share0.0_permuted/plain": {"accuracy": 0.2, "macro_f1": 0.1},
        "schep2017_shared/share0.05/plain": {"accuracy": 0.8, "macro_f1": 0.7},
        "granja2019/D6T1>D5T1/plain": {"accuracy": 0.77, "macro_f1": 0.66,
                                       "linear_accuracy": 0.6, "linear_macro_f1": 0.5},
        "granja2019/D5T1>D6T1/plain": {"accuracy": 0.76, "macro_f1": 0.65},
    },
    "mean_over_sets": {
        "core": {"accuracy": 0.81, "macro_f1": 0.78, "linear_accuracy": 0.7,
                 "linear_macro_f1": 0.69, "ece": 0.05},
        "shifted": {"accuracy": 0.71, "macro_f1": 0.68, "linear_accuracy": 0.6,
                    "linear_macro_f1": 0.59},
    },
    "provenance": WHERE,
}  # fmt: skip


def test_tables_of_label_transfer_leave_out_what_was_not_run():
    lines = full_table(ANNOTATE).splitlines()
    assert lines[0] == (
        "| accuracy / macro-F1 | peakatlas | TF-IDF + LR | calibration error | "
        "of exact confidences | sets hold the type | left unassigned |"
    )
    assert lines[2] == (
        "| mouse forebrain, halves, 8 types | 0.500 ± 0.010 / 0.250 ± 0.020 | 0.400 / 0.200 | "
        "0.041 | 0.030 | 0.900 | 0.020 |"
    )
    assert lines[3].endswith("types, a quarter of the reads | 0.300 / 0.100 | – | – | – | – | – |")
    assert "| 0.810 / 0.780 | 0.700 / 0.690 | 0.050 | – | – | – |" in lines[4]
    assert [line.count("|") for line in short_table(ANNOTATE).splitlines()] == [6] * 5
    shared = shared_table(ANNOTATE).splitlines()
    assert shared[2] == "| 0% | 0.860 / 0.810 | 0.200 / 0.100 |"
    assert shared[3] == "| 5% | 0.800 / 0.700 | – |"
    assert seeds_of(ANNOTATE) == (
        "Mean ± sd over 3 seeds (splits); at most 3,000 cells on either side."
    )


def test_new_types_are_counted_and_the_worst_is_named():
    novelty = {"novelty_auroc": 0.9, "flagged_new": 0.4, "flagged_known": 0.02}
    found = {"sets": {"bm0828": {"novelty": {**novelty, "types": 7, "auroc_min": 0.6}}, "x": {}}}
    lines = novelty_table(found).splitlines()
    assert len(lines) == 3
    assert lines[2].endswith("| 7 | 0.900 | 0.600 | 0.400 | 0.020 |")


def test_peers_stand_beside_the_same_pairs():
    theirs = {
        "peer": "celltypist",
        "version": "1.7",
        "dataset": "granja2019-10k",
        "seeds": 1,
        "tasks": {"D6T1->D5T1": {"accuracy": 0.7, "macro_f1": 0.6}},
        "provenance": WHERE,
    }
    lines = peers_table(ANNOTATE, [theirs]).splitlines()
    assert lines[2] == "| peakatlas | 0.770 / 0.660 | 0.760 / 0.650 |"
    assert lines[3] == "| TF-IDF + LR | 0.600 / 0.500 | – |"
    assert lines[4] == "| CellTypist 1.7 | 0.700 / 0.600 | – |"


def test_headline_is_of_the_results():
    walk = {"accuracy": 0.7, "macro_f1": 0.6, "baseline_accuracy": 0.65, "baseline_macro_f1": 0.55}
    walk["types"] = 13
    lines = headline_table(
        {
            "annotate": ANNOTATE,
            "naming": {
                "lineage_accuracy": 0.987,
                "lineage_balanced_accuracy": 0.961,
                "permuted_lineage_accuracy": 0.45,
                "permuted_lineage_balanced_accuracy": 0.278,
            },
            "pbmc_walk": walk,
            "model_quality": {
                "accuracy": {
                    "model": {"mean": 0.71, "sd": 0.02},
                    "kmer6": {"mean": 0.66, "sd": 0.01},
                    "model_permuted": {"mean": 0.3, "sd": 0.03},
                },
                "motif_response": {"mean": 0.913},
                "random_twin_motif_response": {"mean": 0.48},
            },
            "embed": {"ratio_vs_naive": {"500m": 4.84}},
            "lookup": {
                "queries": 2000,
                "keys": 9000,
                "seconds_total": 0.123,
                "reference_seconds": 16.3,
            },
            "fragments": {"fragments_per_second_per_core": 1_240_000, "ratio_vs_pandas": 1.31},
        }
    ).splitlines()
    assert lines[2].endswith("sets | 0.810 / 0.780 | 0.700 / 0.690 by TF-IDF + LR |")
    assert lines[3].endswith("caller | 0.710 / 0.680 | 0.600 / 0.590 by TF-IDF + LR |")
    assert lines[4].endswith("| 0.860 / 0.810 | 0.200 / 0.100 with the embeddings permuted |")
    assert lines[5].endswith("by RNA | 0.700 / 0.600 | 0.650 / 0.550 by TF-IDF + LR |")
    assert lines[6].endswith("| 0.987 / 0.961 | 0.450 / 0.278 with permuted annotations |")
    assert lines[7].endswith(
        "| 0.710 ± 0.020 | 0.660 ± 0.010 by counts of 6-mers, 0.300 ± 0.030 permuted |"
    )
    assert lines[8].endswith("| 0.91 | 0.48 with random weights |")
    assert lines[9].endswith("| 4.8 × | Hugging Face, fp32, one peak at a time |")
    assert lines[10].startswith("| 2,000 peaks looked up among 9,000 | 0.12 s | 16 s with")
    assert lines[11].endswith("| 1.2 million | 1.3 × a plain way with pandas |")


def test_pictures_are_there_and_small():
    for page in (README, (ROOT / "docs" / "index.md").read_text("utf-8")):
        names = set(re.findall(r"images/([\w-]+\.png)", page))
        assert names == {"report.png", "report-dark.png"}
        for name in names:
            assert 10_000 < (ROOT / "docs" / "images" / name).stat().st_size < 200_000


def test_missing_marker_is_named():
    with pytest.raises(ValueError, match=re.escape("<!-- end: benchmarks/x.py -->")):
        with_block("text <!-- begin: benchmarks/x.py --> text", "x", "table")
