"""Labels of the splits of one repeat, their scores, and the mean over repeats."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from peakatlas.classifier.trust.metrics import score


@dataclass
class Tally:
    """Labels and seconds of the splits of one repeat, by name."""

    labels: dict[str, list[NDArray[np.str_]]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, labels: NDArray[np.str_]) -> None:
        """Keep the labels of one split."""
        self.labels.setdefault(name, []).append(labels)

    def spend(self, name: str, started: float) -> None:
        """Add the seconds since `started`."""
        self.figures[name] = self.figures.get(name, 0.0) + time.monotonic() - started

    def scores(self, truth: NDArray[np.str_]) -> dict[str, float]:
        """All figures."""
        found = {}
        for name, parts in self.labels.items():
            scores = score(truth, np.concatenate(parts))
            found[f"{name}accuracy"] = scores.accuracy
            found[f"{name}macro_f1"] = scores.macro_f1
        return {**found, **self.figures}


def summary(by_repeat: list[dict[str, float]]) -> dict[str, float]:
    """Mean and standard deviation over repeats of every figure."""
    result: dict[str, float] = {}
    for key in by_repeat[0]:
        values = [figures[key] for figures in by_repeat]
        result[key] = round(float(np.mean(values)), 4)
        result[f"{key}_sd"] = round(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, 4)
    return result
