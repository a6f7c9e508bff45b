"""Tables of label transfer in Markdown, from the object that ``annotate.py --json`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SETS = {
    "granja2019": "Granja 2019, one donor to the other, both ways, 16 types",
    "bm0828": "Buenrostro 2018, donor BM0828, halves, 7 FACS-sorted types",
    "forebrain": "mouse forebrain, halves, 8 types",
    "schep2017": "Schep 2017, 5-fold, 10 types",
    "granja_bm0828": "Granja 2019 and BM0828, two laboratories, own peaks, both ways",
}
VARIANTS = {
    "plain": "",
    "thin25": "a quarter of the reads",
    "few_types": "three types only",
    "n60": "60 cells",
    "many_types_missing": "half of the types absent",
    "shifted": "peaks 100 to 200 bp aside, 20 % dropped, some merged",
    "own_peaks": "peaks of another caller",
}
COLUMNS = {
    "peakatlas": "",
    "TF-IDF + LR": "linear_",
    "members at equal weight": "equal_",
    "alignment network alone": "network_",
    "CellTypist": "celltypist_",
}
MEANS = {
    "core": "**mean of the first four**, also with a quarter of the reads, three types, 60 cells",
    "shifted": "**mean of the first four with peaks of another caller**",
}
FIGURES = {
    "calibration error": "ece",
    "of exact confidences": "ece_floor",
    "sets hold the type": "coverage",
    "of the worst type": "coverage_by_type_min",
    "left unassigned": "unassigned",
}
"""Columns of one figure each: what is said of trust."""
N_ERRORS = 2
"""Of these, the first ones, that short tables show."""
SHARED = "schep2017_shared/share{}/plain"


def full_table(result: Mapping[str, Any]) -> str:
    """Every set and variant, with what is said of trust."""
    head = ["accuracy / macro-F1", *COLUMNS, *FIGURES]
    rows = [
        [
            ", ".join(filter(None, (SETS[name], VARIANTS[variant]))),
            *_agreements(result["sets"][name][variant]),
            *_trust(result["sets"][name][variant]),
        ]
        for name in SETS
        for variant in VARIANTS
        if variant in result["sets"].get(name, {})
    ]
    return _table(head, [*rows, *_means(result)])


def short_table(result: Mapping[str, Any]) -> str:
    """Each set as it is, and the means over sets."""
    rows = [
        [title, *_agreements(sets[name]["plain"]), *_trust(sets[name]["plain"])[:N_ERRORS]]
        for name, title in SETS.items()
        if "plain" in (sets := result["sets"]).get(name, {})
    ]
    return _table(
        ["accuracy / macro-F1", *COLUMNS, *list(FIGURES)[:N_ERRORS]],
        [*rows, *(row[: 1 + len(COLUMNS) + N_ERRORS] for row in _means(result))],
    )


def shared_table(result: Mapping[str, Any]) -> str:
    """Accuracy by the share of peaks in common, beside the control without DNA."""
    head = ["Schep 2017, share of the peaks in common", "peakatlas", "embeddings permuted"]
    rows = []
    for share in ("0.0", "0.02", "0.05", "0.1", "0.3", "0.6"):
        real, control = (
            result["pairs"].get(SHARED.format(f"{share}{twin}"), {}) for twin in ("", "_permuted")
        )
        if real:
            rows.append([f"{float(share):.0%}", _both(real, ""), _both(control, "")])
    return _table(head, rows)


def novelty_table(result: Mapping[str, Any]) -> str:
    """How well cells of a type that the reference lacks are found, one type left out in turn."""
    rows = [
        [
            SETS[name],
            str(figures["novelty"]["types"]),
            _plain(figures["novelty"], "novelty_auroc"),
            _plain(figures["novelty"], "auroc_min"),
            _plain(figures["novelty"], "flagged_new"),
            _plain(figures["novelty"], "flagged_known"),
        ]
        for name, figures in result["sets"].items()
        if "novelty" in figures
    ]
    head = [
        "",
        "types left out in turn",
        "AUROC, mean",
        "worst type",
        "new cells flagged at p < .05",
        "known cells flagged",
    ]
    return _table(head, rows)


def seeds_of(result: Mapping[str, Any]) -> str:
    """Numbers of seeds, and how large the sets were."""
    counts = sorted(set(result["seeds"].values()))
    most = result.get("cells_at_most")
    size = f"; at most {most:,} cells on either side" if most else ""
    if counts == [1]:
        return f"One seed (one split of each set){size}."
    once = ", one where no sd is given" if counts[0] == 1 else ""
    return f"Mean ± sd over {counts[-1]} seeds (splits{once}){size}."


def _means(result: Mapping[str, Any]) -> list[list[str]]:
    found = result["mean_over_sets"]
    return [
        [
            title,
            *_agreements(found[name]),
            *_trust(found[name]),
        ]
        for name, title in MEANS.items()
        if found.get(name)
    ]


def _trust(figures: Mapping[str, float]) -> list[str]:
    return [_plain(figures, name) for name in FIGURES.values()]


def _agreements(figures: Mapping[str, float]) -> list[str]:
    return [_both(figures, prefix) for prefix in COLUMNS.values()]


def _both(figures: Mapping[str, float], prefix: str) -> str:
    """Accuracy and macro-F1, with their spread where there is one."""
    if f"{prefix}accuracy" not in figures:
        return "–"
    return " / ".join(
        f"{figures[name]:.3f}"
        + (f" ± {figures[f'{name}_sd']:.3f}" if f"{name}_sd" in figures else "")
        for name in (f"{prefix}accuracy", f"{prefix}macro_f1")
    )


def _plain(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.3f}" if name in figures else "–"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    kept = [i for i in range(len(head)) if i == 0 or any(row[i] != "–" for row in rows)]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line[i] for i in kept)} |" for line in lines)
