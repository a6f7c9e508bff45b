"""The report is one page that loads nothing, and says what the annotation says."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import re
import shlex
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest
from cell_tools import types_of

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.explain.genes import read_genes
from peakatlas.classifier.report.cell_map import cell_map
from peakatlas.classifier.report.cells import Asked, depth_of
from peakatlas.classifier.report.figures import verdict_data
from peakatlas.classifier.report.page import report_data, write_report
from peakatlas.classifier.report.payload import Payload
from peakatlas.classifier.report.record import Inputs, inputs_of, record_of
from peakatlas.classifier.report.words import advice_html, labeller_words, member_weights, rerun
from peakatlas.classifier.trust.reliability import reliability
from peakatlas.engine.errors import CountsError, LabelsError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def annotated(world, bundle, atlas):
    types = np.concatenate([types_of(15), np.full(15, 4)])
    return annotate(world.cells(types, seed=5), bundle, atlas)


def payload_of(page: str) -> tuple[dict, Callable]:
    """The facts of a page, and a reader of its arrays."""
    packed = re.search(r'id="payload-gz">([^<]*)<', page).group(1)
    raw = gzip.decompress(base64.b64decode(packed))
    size = int.from_bytes(raw[:4], "little")
    return json.loads(raw[4 : 4 + size]), lambda place: np.frombuffer(
        raw, place["type"], place["n"], 4 + size + place["at"]
    )


def facts_of(annotated, **asked) -> dict:
    return report_data(annotated, Payload(), asked=Asked(**asked))


def column(facts: dict, key: str) -> dict:
    return next(found for found in facts["cells"]["columns"] if found["key"] == key)


def test_page_is_self_contained_and_survives_a_file(annotated, tmp_path):
    annotated.write_h5ad(tmp_path / "a.h5ad")
    for name, mode in (("whole", None), ("backed", "r")):
        read_back = ad.read_h5ad(tmp_path / "a.h5ad", backed=mode)
        write_report(read_back, tmp_path / name, labels_key="cell_type", title="My {{query}} <1>")
    page = (tmp_path / "whole").read_text(encoding="utf-8")
    assert (tmp_path / "backed").read_text(encoding="utf-8") == page
    assert '<h1 id="title">My {{query}} &lt;1&gt;</h1>' in page
    assert not re.search(r'(?:src|href)\s*=\s*"(?!#)', page.split("<script")[0])
    assert len(page) < 3_000_000
    facts, array = payload_of(page)
    label = column(facts, "label")
    assert [label["categories"][code] for code in array(label["data"])] == annotated.obs[
        "peakatlas_label"
    ].astype(str).tolist()
    confidence = column(facts, "confidence")
    told = confidence["low"] + confidence["step"] * array(confidence["data"])
    np.testing.assert_allclose(told, annotated.obs["peakatlas_confidence"], atol=5.2e-4)
    depth = np.asarray(annotated.X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(array(column(facts, "depth")["data"]), depth)
    assert bytes(array(facts["cells"]["names"])).decode().split("\n") == list(annotated.obs_names)
    assert facts["record"] == json.loads(annotated.uns["peakatlas"]["record"])


def test_the_depth_is_that_of_the_layer_that_was_read(annotated):
    depth = np.asarray(annotated.X.sum(axis=1)).ravel()
    moved = annotated.copy()
    moved.layers["raw"], moved.X = moved.X, moved.X * 0.25
    assert depth_of(moved, "raw").tolist() == depth.tolist()
    assert depth_of(moved, "none") is None
    assert depth_of(moved).tolist() == (depth / 4).tolist()


def test_what_it_shows(annotated):
    found = facts_of(annotated, labels_key="cell_type")
    assert [row["cells"] for row in found["composition"]] == [
        int((annotated.obs["peakatlas_label"] == name).sum())
        for name in ("type0", "type1", "type2", "type3", "Unassigned")
    ]
    assert sum(row["query"] for row in found["composition"]) == pytest.approx(1)
    truth = found["truth"]
    assert np.sum(truth["counts"]) == 75 and truth["rows"][-1] == "type4"
    assert truth["scores"]["accuracy"] > 0.6 and truth["forced"] >= truth["scores"]["accuracy"]
    assert sum(part["cells"] for part in truth["reliability"]["bins"]) == 60
    assert sum(part["cells"] for part in found["reliability"]["bins"]) == 240
    assert [row["type"] for row in found["held_out"]] == ["type0", "type1", "type2", "type3"]
    assert found["tiers"] == [["same interval in the atlas", 240]]
    assert "75 cells of AnnData were compared by their accessibility" in found["summary"]
    assert [part["type"] for part in found["markers"]] == ["type0", "type1", "type2", "type3"]
    best = annotated.uns["peakatlas"]["markers"].iloc[0]
    assert found["markers"][0]["elements"][0][:3] == [best["chrom"], best["start"], best["end"]]
    assert facts_of(annotated)["truth"] is None
    assert truth["lacked"] == ["type4"]


def test_known_types_are_looked_for_in_the_sets(annotated):
    more = annotated.copy()
    truth = more.obs["cell_type"].astype(str)
    more.obs["peakatlas_set"] = np.where(np.arange(75) < 40, truth + "|x", "type")
    assert facts_of(more, labels_key="cell_type")["truth"]["covered"] == round(40 / 60, 4)
    del more.obs["peakatlas_set"]
    assert facts_of(more, labels_key="cell_type")["truth"]["covered"] is None


def test_batches_levels_and_possible_types(annotated):
    more = annotated.copy()
    more.obs["Sample_id"] = np.where(np.arange(75) % 2, "s1", "s2")
    more.obs["donor"] = "one"
    more.obs["stage"] = np.where(np.arange(75) % 3, "a", "b")
    more.obs["peakatlas_label_coarse"] = "blood"
    more.obs["peakatlas_label_mine"] = "not of an annotation"
    record = json.loads(more.uns["peakatlas"]["record"])
    record["levels"] = {"columns": ["coarse", "fine"]}
    more.uns["peakatlas"] = {**more.uns["peakatlas"], "record": json.dumps(record)}
    more.obs["peakatlas_set"] = np.where(np.arange(75) < 70, "type0", "type0|type2")
    found = facts_of(more)
    keys = [part["key"] for part in found["cells"]["columns"]]
    assert "obs:Sample_id" in keys and not {"obs:donor", "obs:cell_type", "obs:stage"} & set(keys)
    assert found["sets"] == {"sizes": [(1, 70), (2, 5)], "common": [[["type0", "type2"], 5]]}
    assert found["levels"] == [{"level": "coarse", "labels": [["blood", 75]]}]
    asked = facts_of(more, batch_keys=("stage",))
    assert column(asked, "obs:stage")["categories"] == ["a", "b"]
    with pytest.raises(LabelsError, match="obs has no column 'nope'"):
        facts_of(more, batch_keys=("nope",))


def test_of_many_cells_a_sample_is_shown_but_all_are_counted(annotated, monkeypatch):
    monkeypatch.setattr("peakatlas.classifier.report.cells.MOST_CELLS", 30)
    monkeypatch.setattr("peakatlas.classifier.report.cells.MOST_REFERENCE", 20)
    found = facts_of(annotated)
    assert (found["cells"]["shown"], found["cells"]["total"]) == (30, 75)
    assert column(found, "label")["data"]["n"] == 30
    assert found["cells"]["map"]["x"]["data"]["n"] == 50
    assert sum(row["cells"] for row in found["composition"]) == 75


def test_same_input_same_page(annotated, tmp_path):
    for name in ("a", "b"):
        write_report(annotated, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "values", [[0.0, 7.0, 40000.0], [0.0004, 0.5, 1.0], [-3.0, 1e6, 12.5], [2.5, np.nan], []]
)
def test_numbers_are_packed_to_three_digits_or_65_thousand_steps(values):
    payload = Payload()
    kept = payload.numbers(values)
    facts, array = payload_of(f'id="payload-gz">{payload.packed({})}<')
    codes = array(kept["data"])
    told = np.where(codes == 65_535, np.nan, kept["low"] + kept["step"] * codes.astype(float))
    within = 17 if 1e6 in values else 5.1e-4
    np.testing.assert_allclose(told, values, atol=within)
    assert facts == {}


def test_reliability_is_the_share_right_by_confidence():
    told = reliability(np.array([0.31, 0.39, 0.95, 1.0]), np.array([True, False, True, True]))
    assert told["bins"] == [
        {"cells": 2, "confidence": 0.35, "right": 0.5},
        {"cells": 2, "confidence": 0.975, "right": 1.0},
    ]
    assert told["ece"] == pytest.approx((0.3 + 0.05) / 4)


def test_words_say_what_was_done_and_how_to_do_it_again():
    found = {
        "accuracy": 0.914, "macro_f1": 0.876, "ece": 0.031, "converged": False,
        "weights": {"logistic": 1.5, "dna": 0.5, "lda": 0.0},
        "composition": {"used": True}, "pseudo_queries": {"by": "batch", "n": 2},
    }  # fmt: skip
    words = " ".join(labeller_words(found))
    assert "held out (whole batches)" in words
    assert "91% were labelled rightly (macro-F1 0.88), and confidence was off by 0.03" in words
    assert "by weight: logistic regression 75%, profiles from DNA 25%." in words
    assert "estimated from the query itself" in words and "did not converge" in words
    assert member_weights(found)[2] == ("linear discriminant", 0.0)
    record = {"spec": {}, "options": {"reject": False, "max_offset": 20, "append": True, "seed": 0}}
    again = rerun(record, Inputs(query="a b.h5ad", bundle="b", atlas="a", genome="g.fa"))
    assert again["command"] == (
        "peakatlas annotate 'a b.h5ad' --bundle b --atlas a --genome g.fa --assign-all "
        "--max-offset 20 --append -o annotated.h5ad --report report.html"
    )
    assert (
        "'a b.h5ad', 'b', atlas='a', genome='g.fa',\n    options=AnnotateOptions(reject=False"
        in again["python"]
    )
    compile(again["python"], "again", "exec")
    made = {
        "references": [{"source": "r 1.h5ad"}, {"source": "r2.h5ad"}], "labels_key": "a,b",
        "batch_key": "donor", "seed": 4, "options": {"method": "network"},
        "read": {"layer": "counts", "match_contigs": True, "genome": "g.fa", "chain": None},
    }  # fmt: skip
    read = {"layer": "raw", "use_raw": False}
    full = rerun({"spec": {}, "options": {}, "bundle": made, "read": read}, Inputs(bundle="b"))
    assert full["train"] == (
        "peakatlas train 'r 1.h5ad' r2.h5ad --labels a,b --batch-key donor --atlas atlas.zarr "
        "--genome g.fa --layer counts --match-contigs --method network --seed 4 -o b"
    )
    assert "--layer raw" in full["command"] and "layer='raw'" in full["python"]


def test_alerts_are_listed_by_severity_and_nothing_unusual_is_said_without_any_only():
    alerts = [
        {"severity": "caution", "text": "Peaks < 5. Do this. Or that."},
        {"severity": "problem", "text": "Labels of MAIT should not be used. Merge."},
    ]
    shown = advice_html({"alerts": alerts})
    caution = "<strong>Caution: Peaks &lt; 5.</strong> <span>Do this. Or that.</span>"
    assert caution in shown and "Nothing unusual" not in shown
    assert shown.index("Problem: Labels of MAIT should not be used.") < shown.index(caution)
    assert "Caution: Old text." in advice_html({"warnings": ["Old text. Do."]})
    assert "Nothing unusual" in advice_html({"alerts": []})


def test_types_are_shown_with_their_verdicts_the_worst_first(annotated):
    record = record_of(annotated.uns["peakatlas"])
    shown = facts_of(annotated)["verdicts"]
    assert sorted(row["type"] for row in shown) == ["type0", "type1", "type2", "type3"]
    shares = {row["type"]: row["query"] for row in facts_of(annotated)["composition"]}
    assert all(row["query"] == shares[row["type"]] for row in shown)
    record["verdicts"][2] |= {"verdict": "do not use", "words": "do not use", "f1": 0.1}
    record["verdicts"][3] |= {"verdict": "merge", "words": "merge with type2", "f1": 0.6}
    worst = verdict_data(record)
    assert [row["type"] for row in worst[:2]] == ["type2", "type3"]
    assert worst[1]["words"] == "merge with type2"
    assert verdict_data({**record, "verdicts": []}) == []


def test_refusals(annotated, tmp_path):
    with pytest.raises(CountsError, match=r"holds no annotation. Run peakatlas annotate"):
        write_report(ad.AnnData(np.zeros((2, 2))), tmp_path / "r.html")
    with pytest.raises(LabelsError, match="obs has no column 'nope'; columns there are: cell_type"):
        write_report(annotated, tmp_path / "r.html", labels_key="nope")


def test_map_keeps_groups_apart_and_places_cells_beyond_the_landmarks(monkeypatch):
    monkeypatch.setattr("peakatlas.classifier.report.cell_map.LANDMARKS", 200)
    rng = np.random.default_rng(0)
    cells = np.concatenate([rng.normal(size=(200, 5)), rng.normal(size=(200, 5)) + 20])
    placed = cell_map(cells.astype(np.float32), seed=1)
    assert placed.shape == (400, 2) and np.isfinite(placed).all()
    halves = placed[:200].mean(0), placed[200:].mean(0)
    spread = np.linalg.norm(placed[:200] - halves[0], axis=1).mean()
    assert np.linalg.norm(halves[0] - halves[1]) > 2 * spread
    assert cell_map(cells[:5].astype(np.float32)).shape == (5, 2)


def test_what_others_wrote_is_quoted_in_the_snippets_and_unknown_options_are_left_out():
    evil = {"query": "x'); import os; os.system('touch /tmp/x') #", "bundle": "$(touch x); `y`\n"}
    options = {"seed": 3, "reject), __import__('os').system('x') #": 1, "class": "x"}
    again = rerun({"spec": None, "options": options}, inputs_of({"inputs": json.dumps(evil)}))
    call = ast.parse(again["python"]).body[-1].value
    assert [ast.literal_eval(each) for each in call.args] == [evil["query"], evil["bundle"]]
    assert [(each.arg, ast.unparse(each.value)) for each in call.keywords] == [
        ("options", "AnnotateOptions(seed=3)")
    ]
    words = shlex.split(again["command"])
    assert words[2:5] == [evil["query"], "--bundle", evil["bundle"]]
    assert words[5:7] == ["--seed", "3"]


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ({}, "has no record"),
        ({"record": "{"}, "record is not JSON"),
        ({"record": '{"query": 1}'}, "record cannot be used: .*query"),
        ({"record": "[" * 10**5}, "record is not JSON|levels|JSON object"),
    ],
)
def test_a_record_that_is_none_is_refused(kept, text):
    with pytest.raises(CountsError, match=text):
        record_of(kept)
    with pytest.raises(CountsError, match="inputs cannot be used"):
        inputs_of({"inputs": '{"query": {"a": 1}}'})
    with pytest.raises(CountsError, match=r"options of the annotation cannot be used: .*seed"):
        rerun({"spec": None, "options": {"seed": "1)"}}, Inputs())


def test_markers_name_their_nearest_gene_and_the_build(annotated, tmp_path):
    first = annotated.uns["peakatlas"]["markers"].iloc[0]
    bed = tmp_path / "genes.bed"
    bed.write_text(f"{first['chrom']}\t{first['start']}\t{first['end']}\tNEAR\n")
    with_genes = report_data(annotated, Payload(), asked=Asked(genes=read_genes(bed)))
    row = with_genes["markers"][0]["elements"][0]
    half = (first["end"] - first["start"]) // 2
    assert row[6:] == ["NEAR", half]
    assert len(report_data(annotated, Payload())["markers"][0]["elements"][0]) == 6
    assert with_genes["assembly"] == ""
    more = annotated.copy()
    more.uns["genome"] = "GRCh38"
    assert report_data(more, Payload())["assembly"] == "hg38"
    inputs = json.dumps({"genome": "/data/mm10.fa.gz"})
    kept = {**annotated.uns["peakatlas"], "inputs": inputs}
    more.uns = {"peakatlas": kept}
    assert report_data(more, Payload())["assembly"] == "mm10"
