"""Alerts say what was seen and what to do, the most severe first."""

import pytest

from peakatlas.classifier.trust.advice import alerts_of

CALM = {
    "cells": 100,
    "peaks": 10,
    "shared_counts": 0.9,
    "tiers": {"exact": 10},
    "spec": {},
    "median_depth": 50.0,
    "types": ["B", "MAIT", "T"],
    "labels": {"B": 40, "MAIT": 20, "T": 40},
    "unassigned": {},
    "nearly_novel": 4,
    "expected": {"novel": 0.01, "nearly_novel": 0.04, "uncertain": 0.02},
    "labeller": {
        "ece": 0.02,
        "weights": {"dna": 0.2},
        "pseudo_queries": {"by": "cells", "n": 3, "cells": 500},
    },
    "bundle": {
        "median_depth": 60.0,
        "cells": 1000,
        "cells_by_type": {"B": 400, "MAIT": 200, "T": 400},
    },
    "verdicts": [
        {"type": name, "verdict": "trust", "mistaken_for": "T"} for name in ("B", "MAIT", "T")
    ],
}


def verdict(name, what, other="T"):
    rest = [each for each in CALM["verdicts"] if each["type"] != name]
    return {"verdicts": [*rest, {"type": name, "verdict": what, "mistaken_for": other}]}


def test_nothing_is_said_of_what_is_usual():
    assert alerts_of(CALM) == []


@pytest.mark.parametrize(
    ("change", "severity", "text"),
    [
        (
            verdict("MAIT", "do not use"),
            "problem",
            "Labels of MAIT should not be used (20 of 100 cells): held-out reference cells of "
            "these types are mostly labelled wrongly. Take coarser types",
        ),
        (
            verdict("MAIT", "merge"),
            "caution",
            "Some types are mixed up with each other (20 cells). Merge MAIT with T before",
        ),
        (
            {"labels": {"B": 70, "MAIT": 20, "T": 10}},
            "caution",
            "The composition differs much from the reference: B (+30%), T (-30%). Expected",
        ),
        (
            {"nearly_novel": 20},
            "caution",
            "20 of 100 cells got a type and are nearly as unlike the reference as cells called "
            "novel (about 4 expected). Colour the map",
        ),
        (
            {"unassigned": {"novel": 15}},
            "caution",
            "15 of 100 cells are novel, unlike any type of the reference (about 1 expected). The "
            "reference may lack their type",
        ),
        (
            {"unassigned": {"uncertain": 20}},
            "caution",
            "20 of 100 cells are too uncertain to call (about 2 expected). See their likeliest",
        ),
        ({"shared_counts": 0.1}, "problem", "Only 10% of the query's counts"),
        ({"median_depth": 10.0}, "caution", "Query cells are shallow: 10 counts"),
        ({"unassigned": {"empty": 3}}, "caution", "3 cell(s) have no count"),
    ],
)
def test_each_alert_has_a_severity_and_a_remedy(change, severity, text):
    (alert,) = alerts_of(CALM | change)
    assert alert["severity"] == severity
    assert alert["text"].startswith(text) and ". " in alert["text"]


def test_types_without_cells_in_the_query_are_not_alerted():
    found = alerts_of(CALM | verdict("MAIT", "do not use") | {"labels": {"B": 55, "T": 45}})
    assert not [each for each in found if "should not be used" in each["text"]]


def test_problems_come_first():
    found = alerts_of(CALM | verdict("MAIT", "do not use") | {"nearly_novel": 50})
    assert [each["severity"] for each in found] == ["problem", "caution"]
