"""Tables of the site that are made from the code and from measured results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.annotate_tables import novelty_table, shared_table
from benchmarks.readme_tables import (
    RESULTS,
    all_peers,
    annotate_tables,
    atlas_table,
    embed_table,
    far_table,
    mean_and_sd,
)
from peakatlas.atlas.search.lookup import TIERS
from peakatlas.engine import errors
from peakatlas.engine.models.table import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TIERS = {
    "exact": "the atlas has the same interval",
    "sequence": "the atlas has the same DNA elsewhere, or in another build",
    "overlap": "a neighbour within `--max-offset` stands in; off by default, an approximation",
    "embedded": "the model ran now, because `--genome` was given",
    "missing": "none of these; the peak is used by its coordinates only",
}


def models() -> str:
    """Every model that has a name."""
    rows = [
        [
            f"`{card.name}`",
            f"{card.n_parameters / 1e6:,.0f} M",
            str(card.dim),
            f"{card.context_tokens:,}",
            f"`{card.default_window}`",
            f"{card.licence}{' (**non-commercial**)' if card.non_commercial else ''}",
        ]
        for card in MODELS.values()
    ]
    return table(["name", "parameters", "dimensions", "tokens at most", "window", "licence"], rows)


def tiers() -> str:
    """What may serve a peak."""
    return table(["tier", "what served the peak"], [[f"`{name}`", _TIERS[name]] for name in TIERS])


_DESCRIBED = {
    "model": "the shipped model",
    "kmer6": "counts of 6-mers",
    "random_twin": "the same network with random weights",
    "spectrum": "what the model was taught, computed outright",
}


def model_quality() -> str:
    """Cell types told by descriptions of the peaks' DNA, with their permuted controls."""
    accuracy = result("model_quality")["accuracy"]
    numbers = [name.removeprefix("layer_") for name in accuracy if "permuted" not in name]
    layers = {
        f"layer_{n}": f"its mean after layer {n}, no embedding map" for n in numbers if n.isdigit()
    }
    rows = [
        [
            words,
            mean_and_sd(accuracy[name]),
            mean_and_sd(accuracy[f"{name}_permuted"]),
        ]
        for name, words in ({"model": _DESCRIBED["model"]} | layers | _DESCRIBED).items()
    ]
    return table(["peaks described by", "accuracy", "permuted over peaks"], rows)


def pretrain_search() -> str:
    """The recipe with one thing changed at a time."""
    rows = [
        [
            name,
            f"{found['bits_per_base']:.3f}",
            f"{found['embedding_error']:.3f}",
            f"{found['cpu_seconds_per_step']:.2f}",
            f"{found['parameters'] / 1e6:.1f} M",
        ]
        for name, found in result("pretrain_search")["variants"].items()
    ]
    header = ["recipe", "bits a base", "embedding's error", "CPU s a step", "parameters"]
    return table(header, rows)


def error_tree() -> str:
    """The tree of errors, as its module draws it."""
    return f"```text\n{(errors.__doc__ or '').partition(chr(10))[2].strip()}\n```"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Examples
    --------
    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def result(name: str) -> dict[str, Any]:
    """Object of a file in ``benchmarks/results``."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


TABLES: dict[str, Callable[[], str]] = {
    "models": models,
    "tiers": tiers,
    "errors": error_tree,
    "model-quality": model_quality,
    "pretrain-search": pretrain_search,
    "peers": all_peers,
    "annotate": annotate_tables,
    "annotate-shared": lambda: shared_table(result("annotate")),
    "novelty": lambda: novelty_table(result("annotate")),
    "embed": lambda: embed_table(result("embed")),
    "lookup": lambda: atlas_table(result("lookup"), result("atlas_io"), result("faults")),
    "lookup-far": lambda: far_table(result("lookup_far"), result("interop")),
}
"""Makers of tables by name."""
