"""Numbers of a report."""

import pandas as pd

from peakatlas.classifier.report.figures import truth_data


def test_known_types_are_read_as_those_of_a_reference_are():
    obs = pd.DataFrame(
        {
            "known": ["T ", "T", "B\u00a0", "B"],
            "peakatlas_label": ["T", "T", "B", "B"],
            "peakatlas_best": ["T", "T", "B", "B"],
            "peakatlas_confidence": [0.9] * 4,
        }
    )
    found = truth_data(obs, "known", ["B", "T"])
    assert found["rows"] == ["B", "T"]
    assert found["counts"] == [[2, 0], [0, 2]]
    assert found["scores"]["accuracy"] == 1
    assert found["lacked"] == []
