"""Measured tables in Markdown, from the JSON objects in ``benchmarks/results/``.

Run, it writes those of README.md; the site (``scripts/site``) takes them all.

python benchmarks/annotate.py --dataset schep2017 --json > benchmarks/results/schep2017.json
python benchmarks/readme_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TITLES = {
    "schep2017": "Schep 2017, 600 cells, 10 types, 5-fold",
    "schep2017-halves": "Schep 2017, no peak in common",
    "granja2019": "Granja 2019, the 569 peaks with known sequence",
    "granja2019-10k": "Granja 2019, 10,000 peaks, no sequence",
}
COLUMNS = {
    "peakatlas": "",
    "TF-IDF + LR": "baseline_",
    "embeddings permuted": "permuted_",
    "sequence alone": "sequence_",
    "its control": "sequence_permuted_",
}

PEERS = {
    ("celltypist", ""): "CellTypist {}",
    ("celltypist", "majority_voting_"): "CellTypist {}, majority voting",
    ("scmingle", ""): "scMINGLE {}",
    ("scanvi", ""): "scANVI (scvi-tools {})",
}
"""Rows of the table of peers: peer, prefix of its figures, title."""
SHARED_PEAKS = ("granja2019-10k", "schep2017")

HEADLINE = (
    "schep2017-halves",
    "schep2017",
    "granja2019-10k",
    "model_quality",
    "embed",
    "lookup",
    "scale",
    "fragments",
)
"""Results that the first table of README is made of."""

SPEEDS = {
    "ratio_vs_naive": "× Hugging Face, fp32, one sequence at a time",
    "ratio_vs_sentence_transformers": "× sentence-transformers, bf16, sorted",
    "ratio_vs_openvino_bf16": "× OpenVINO, bf16",
    "fraction_of_gemm_peak": "of the bf16 GEMM peak, one thread",
    "fraction_of_gemm_peak_2_threads": "of the bf16 GEMM peak, two threads",
    "min_cosine_vs_fp32": "least cosine to fp32",
}


def embed_table(result: dict[str, Any]) -> str:
    """Markdown table of the engine's speed, one column a model shape.

    Parameters
    ----------
    result : dict
        Object printed by ``embed.py --json``.
    """
    head = ["NT v2 shape, random weights", *(shape.upper() for shape in result["shapes"])]
    lines = [_row(head), _row(["---"] * len(head))]
    for key, title in SPEEDS.items():
        lines.append(_row([title, *(_number(result[key][shape]) for shape in result["shapes"])]))
    return "\n".join([*lines, "", _measured([result])])


def atlas_table(lookup: dict[str, Any], disk: dict[str, Any], faults: dict[str, Any]) -> str:
    """Markdown table of what an atlas does with time, memory and accidents.

    Parameters
    ----------
    lookup, disk, faults : dict
        Objects printed by ``lookup.py``, ``atlas_io.py`` and ``faults.py`` with ``--json``.
    """
    size = f"{lookup['queries']:,} peaks × {lookup['keys']:,} rows of {lookup['dim']}"
    rows = [
        [
            f"{size}: open, join, gather, average",
            f"{lookup['seconds_total']:.2f} s, {lookup['rss_mb']:,.0f} MB",
        ],
        [
            "the same with zarr, ncls and pandas",
            f"{lookup['reference_seconds']:.1f} s, {lookup['reference_rss_mb']:,.0f} MB",
        ],
        ["overlap join, × pyranges", f"{lookup['join_ratio_vs_pyranges']:.1f}"],
        ["gather, of a copy in memory", f"{lookup['gather_fraction_of_memcpy']:.2f}"],
        [
            "FAISS coordinate index",
            f"{'the same pairs' if lookup['faiss_identical'] else 'OTHER PAIRS'}, "
            f"{lookup['faiss_join_seconds']:.2f} s",
        ],
        [
            "write; × plain files of the same bytes",
            f"{disk['write_mb_s']:,.0f} MB/s; {disk['write_ratio_vs_raw']:.2f}",
        ],
        [
            f"{faults['kills']} writers killed, 1 to 3 at a time",
            f"{faults['lost_rows']} rows lost, {faults['wrong_rows']} wrong, files "
            f"{'identical' if faults['identical_to_uninterrupted'] else 'DIFFERENT'}",
        ],
    ]
    lines = [_row(["atlas", "measured"]), _row(["---", "---"]), *map(_row, rows)]
    return "\n".join([*lines, "", _measured([lookup, disk, faults])])


def headline_table(found: Mapping[str, dict[str, Any]]) -> str:
    """Markdown table of one figure each of what matters, beside what it is compared with.

    Parameters
    ----------
    found : mapping of str to dict
        Results by the names of their files; of `HEADLINE`.
    """
    lines = [_row(["measured", "", "beside"]), _row(["---"] * 3)]
    rows = [
        *_headline_accuracies(found),
        *_headline_model(found["model_quality"]),
        *_headline_speeds(found),
    ]
    return "\n".join([*lines, *map(_row, rows)])


def _headline_accuracies(found: Mapping[str, dict[str, Any]]) -> list[list[str]]:
    halves, whole = found["schep2017-halves"], found["schep2017"]
    linear = "{} by the linear baseline"
    rows = [
        [
            "accuracy with no peak in common (Schep 2017, 10 types)",
            _accuracy(halves),
            f"{_accuracy(halves, 'permuted_')} with the embeddings permuted",
        ],
        [
            "accuracy with the same peaks (Schep 2017, 5-fold)",
            _accuracy(whole),
            linear.format(_accuracy(whole, "baseline_")),
        ],
    ]
    for task, figures in found["granja2019-10k"]["tasks"].items():
        title = f"accuracy on another donor (Granja 2019, 16 types, {task.replace('->', ' → ')})"
        beside = linear.format(_accuracy(figures, "baseline_"))
        rows.append([title, _accuracy(figures), beside])
    return rows


def mean_and_sd(told: Mapping[str, float]) -> str:
    """A figure of ``model_quality.py`` with its spread.

    Examples
    --------
    >>> mean_and_sd({"mean": 0.5, "sd": 0.01})
    '0.500 ± 0.010'
    """
    return f"{told['mean']:.3f} ± {told['sd']:.3f}"


def _headline_model(quality: dict[str, Any]) -> list[list[str]]:
    model, kmers, control = (
        mean_and_sd(quality["accuracy"][name]) for name in ("model", "kmer6", "model_permuted")
    )
    return [
        [
            "accuracy by the shipped model's reading of DNA alone (Schep 2017)",
            model,
            f"{kmers} by counts of 6-mers, {control} permuted",
        ],
        [
            "sites of taught motifs told from shuffles by how they move its vector (AUROC)",
            f"{quality['motif_response']['mean']:.2f}",
            f"{quality['random_twin_motif_response']['mean']:.2f} with random weights",
        ],
    ]


def _headline_speeds(found: Mapping[str, dict[str, Any]]) -> list[list[str]]:
    speed, atlas, counted = found["embed"], found["lookup"], found["fragments"]
    largest = max(found["scale"]["tasks"].values(), key=lambda run: (run["cells"], run["peaks"]))
    return [
        [
            "embedding on a CPU, shape of NT v2 500M",
            f"{speed['ratio_vs_naive']['500m']:.1f} ×",
            "Hugging Face, fp32, one peak at a time",
        ],
        [
            f"{atlas['queries']:,} peaks looked up among {atlas['keys']:,}",
            f"{atlas['seconds_total']:.2f} s",
            f"{atlas['reference_seconds']:.0f} s with zarr, ncls and pandas",
        ],
        [
            f"{largest['cells']:,} cells (tiled) over {largest['peaks']:,} peaks, file to report",
            f"{largest['seconds']:.0f} s",
            f"{largest['peak_rss_mb'] / 1000:.1f} GB of memory, one core",
        ],
        [
            "fragments counted a second, one core",
            f"{counted['fragments_per_second_per_core'] / 1e6:.1f} million",
            f"{counted['ratio_vs_pandas']:.1f} × a plain way with pandas",
        ],
    ]


def annotate_table(results: list[dict[str, Any]]) -> str:
    """Markdown table of accuracy / macro-F1 with a line on when and where they were measured.

    Parameters
    ----------
    results : list of dict
        Objects printed by ``annotate.py --json``.
    """
    head = ["accuracy / macro-F1", *COLUMNS]
    lines = [_row(head), _row(["---"] * len(head))]
    for result in results:
        for task, figures in _by_task([result]).items():
            cells = [_cell(figures, prefix) for prefix in COLUMNS.values()]
            lines.append(_row([_task_title(*task), *cells]))
    return "\n".join([*lines, "", _provenance(results)])


def peers_table(annotate: list[dict[str, Any]], peers: list[dict[str, Any]]) -> str:
    """Markdown table of other tools beside peakatlas, a column for each task.

    Parameters
    ----------
    annotate : list of dict
        Objects printed by ``annotate.py --json``; their tasks are the columns.
    peers : list of dict
        Objects printed by ``peers/run.py --json`` for the same data sets.
    """
    ours = _by_task(annotate)
    head = ["accuracy / macro-F1", *(_task_title(*task) for task in ours)]
    rows = [
        [title, *(_cell(figures, prefix) for figures in ours.values())]
        for title, prefix in (("peakatlas", ""), ("TF-IDF + LR", "baseline_"))
    ]
    for (peer, prefix), title in PEERS.items():
        results = [result for result in peers if result["peer"] == peer]
        if results:
            theirs, version = _by_task(results), results[0]["version"]
            cells = [_cell(theirs.get(task, {}), prefix) for task in ours]
            rows.append([title.format(version), *cells])
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join([*lines, "", _provenance([*annotate, *peers])])


def with_block(text: str, name: str, block: str) -> str:
    """README text with the block between the markers of a script replaced.

    Parameters
    ----------
    text : str
    name : str
        Script that measured, as in ``<!-- begin: benchmarks/annotate.py -->``.
    block : str

    Raises
    ------
    ValueError
        If a marker is absent.
    """
    begin, end = (f"<!-- {word}: benchmarks/{name}.py -->" for word in ("begin", "end"))
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"README.md lacks {end if found else begin}")
    return f"{before}{begin}\n{block}\n{end}{after}"


def with_tables(text: str) -> str:
    """README text with all tables made anew from the committed results."""
    headline = headline_table({name: _read(name) for name in HEADLINE})
    text = with_block(text, "readme_tables", headline)
    text = with_block(text, "annotate", annotate_table([_read(name) for name in TITLES]))
    return with_block(text, "peers/run", all_peers())


def all_peers() -> str:
    """The table of peers from the committed results."""
    theirs = [_read(path.stem) for path in sorted(RESULTS.glob("peers-*.json"))]
    return peers_table([_read(name) for name in SHARED_PEAKS], theirs)


def _by_task(results: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Figures by data set and task; one that is the only task of its data set has no name."""
    return {
        (result["dataset"], task): figures | {"seeds": result["seeds"]}
        for result in results
        for task, figures in result.get("tasks", {"": result}).items()
    }


def _task_title(dataset: str, task: str) -> str:
    return f"{TITLES[dataset]}, {task.replace('->', ' → ')}" if task else TITLES[dataset]


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}" if 0.99 < value < 1 else f"{value:.2f}"


def _cell(figures: dict[str, Any], prefix: str) -> str:
    if f"{prefix}accuracy" not in figures:
        return "–"
    parts = []
    for metric in ("accuracy", "macro_f1"):
        spread = figures[f"{prefix}{metric}_sd"]
        shown = f" ± {spread:.3f}" if figures["seeds"] > 1 else ""
        parts.append(f"{figures[f'{prefix}{metric}']:.3f}{shown}")
    return " / ".join(parts)


def _accuracy(figures: dict[str, Any], prefix: str = "") -> str:
    spread = figures[f"{prefix}accuracy_sd"]
    return f"{figures[f'{prefix}accuracy']:.3f}{f' ± {spread:.3f}' if spread >= 0.0005 else ''}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _provenance(results: list[dict[str, Any]]) -> str:
    seeds = {str(result["seeds"]) for result in results}
    return f"Mean ± sd over {', '.join(sorted(seeds))} seeds. {_measured(results)}"


def _measured(results: list[dict[str, Any]]) -> str:
    seen = {
        f"{p['date']}, {p['machine']}, commit {p['commit']}"
        for p in (result["provenance"] for result in results)
    }
    return f"Measured {'; '.join(sorted(seen))}."


def main() -> None:
    """Rewrite README.md in place."""
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text()))


if __name__ == "__main__":
    main()
