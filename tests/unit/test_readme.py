"""The README's figures are those of the committed results."""

import re

import pytest

from benchmarks.readme_tables import (
    ROOT,
    annotate_table,
    atlas_table,
    embed_table,
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


def test_table_shows_mean_and_sd_and_leaves_out_what_was_not_run():
    figures = {"accuracy": 0.5, "accuracy_sd": 0.01, "macro_f1": 0.25, "macro_f1_sd": 0.02}
    where = {"date": "2026-01-01", "machine": "a CPU, 2 cores", "commit": "abc"}
    result = {"dataset": "schep2017", "seeds": 3, "provenance": where, **figures}
    lines = annotate_table([result]).splitlines()
    assert lines[2].split(" | ")[1:] == ["0.500 ± 0.010 / 0.250 ± 0.020", "–", "–", "–", "– |"]
    assert lines[-1] == "Mean ± sd over 3 seeds. Measured 2026-01-01, a CPU, 2 cores, commit abc."


def test_missing_marker_is_named():
    with pytest.raises(ValueError, match=re.escape("<!-- end: benchmarks/x.py -->")):
        with_block("text <!-- begin: benchmarks/x.py --> text", "x", "table")
