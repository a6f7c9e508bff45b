"""Measured tables in Markdown, from the JSON objects in ``benchmarks/results/``.

Run, it writes those of README.md; the site (``scripts/site``) takes them all.

python benchmarks/annotate.py --json > benchmarks/results/annotate.json
python benchmarks/readme_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__:
    from .annotate_tables import full_table, seeds_of, short_table
else:  # run by its path
    from annotate_tables import full_table, seeds_of, short_table

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = {
    ("celltypist", ""): "CellTypist {}",
    ("celltypist", "majority_voting_"): "CellTypist {}, majority voting",
    ("scmingle", ""): "scMINGLE {}",
    ("scanvi", ""): "scANVI (scvi-tools {})",
}
"""Rows of the table of peers: peer, prefix of its figures, title."""
PEER_TASKS = {
    ("granja2019-10k", "D6T1->D5T1"): "granja2019/D6T1>D5T1/plain",
    ("granja2019-10k", "D5T1->D6T1"): "granja2019/D5T1>D6T1/plain",
}
"""Pairs of ``annotate_granja.json``, all cells, by the task of the peers' results."""

HEADLINE = (
    "annotate",
    "naming",
    "pbmc_walk",
    "model_quality",
    "embed",
    "lookup",
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
    means, named, walk = found["annotate"]["mean_over_sets"], found["naming"], found["pbmc_walk"]
    rows = [
        [
            f"accuracy / macro-F1, {title}",
            _pair(means[name], ""),
            f"{_pair(means[name], 'linear_')} by TF-IDF + LR",
        ]
        for name, title in (
            ("core", "mean of four development sets"),
            ("shifted", "the same with peaks of another caller"),
        )
    ]
    shared = found["annotate"]["pairs"]
    return [
        *rows,
        [
            "accuracy / macro-F1 with no peak in common (Schep 2017, 10 types)",
            _pair(shared["schep2017_shared/share0.0/plain"], ""),
            f"{_pair(shared['schep2017_shared/share0.0_permuted/plain'], '')} with the embeddings "
            "permuted",
        ],
        [
            "accuracy / macro-F1 on PBMCs on which nothing was tuned, "
            f"{walk['types']} types by RNA",
            _pair(walk, ""),
            f"{_pair(walk, 'baseline_')} by TF-IDF + LR",
        ],
        [
            "lineages of bone marrow with no reference at all, accuracy / balanced",
            f"{named['lineage_accuracy']:.3f} / {named['lineage_balanced_accuracy']:.3f}",
            f"{named['permuted_lineage_accuracy']:.3f} / "
            f"{named['permuted_lineage_balanced_accuracy']:.3f} with permuted annotations",
        ],
    ]


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
            "fragments counted a second, one core",
            f"{counted['fragments_per_second_per_core'] / 1e6:.1f} million",
            f"{counted['ratio_vs_pandas']:.1f} × a plain way with pandas",
        ],
    ]


def peers_table(whole: dict[str, Any], peers: list[dict[str, Any]]) -> str:
    """Markdown table of other tools beside peakatlas, all cells of Granja 2019, each direction.

    Parameters
    ----------
    whole : dict
        Object printed by ``annotate.py --json`` for all cells of Granja 2019.
    peers : list of dict
        Objects printed by ``peers/run.py --json``.
    """
    ours = {task: whole["pairs"][pair] for task, pair in PEER_TASKS.items()}
    head = [
        "accuracy / macro-F1",
        *(f"Granja 2019, {task.replace('->', ' → ')}" for _, task in ours),
    ]
    rows = [
        [title, *(_pair(figures, prefix) for figures in ours.values())]
        for title, prefix in (("peakatlas", ""), ("TF-IDF + LR", "linear_"))
    ]
    for (peer, prefix), title in PEERS.items():
        results = [result for result in peers if result["peer"] == peer]
        theirs = _by_task(results)
        cells = [_pair(theirs.get(task, {}), prefix) for task in ours]
        if any(cell != "–" for cell in cells):
            rows.append([title.format(results[0]["version"]), *cells])
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join([*lines, "", _measured([whole, *peers])])


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
    annotate = _read("annotate")
    block = f"{short_table(annotate)}\n\n{seeds_of(annotate)} {_measured([annotate])}"
    text = with_block(text, "annotate", block)
    return with_block(text, "peers/run", all_peers())


def annotate_tables() -> str:
    """All sets and variants, from the committed result."""
    annotate = _read("annotate")
    return f"{full_table(annotate)}\n\n{seeds_of(annotate)} {_measured([annotate])}"


def all_peers() -> str:
    """The table of peers from the committed results."""
    theirs = [_read(path.stem) for path in sorted(RESULTS.glob("peers-*granja*.json"))]
    return peers_table(_read("annotate_granja"), theirs)


def _by_task(results: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Figures by data set and task; one that is the only task of its data set has no name."""
    return {
        (result["dataset"], task): figures | {"seeds": result["seeds"]}
        for result in results
        for task, figures in result.get("tasks", {"": result}).items()
    }


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}" if 0.99 < value < 1 else f"{value:.2f}"


def _pair(figures: Mapping[str, float], prefix: str) -> str:
    """Accuracy and macro-F1."""
    if f"{prefix}accuracy" not in figures:
        return "–"
    return " / ".join(f"{figures[f'{prefix}{name}']:.3f}" for name in ("accuracy", "macro_f1"))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def far_table(far: dict[str, Any], interop: dict[str, Any]) -> str:
    """Markdown table of an atlas at a URL, of a large one, and of other readers.

    Parameters
    ----------
    far, interop : dict
        Objects printed by ``lookup_far.py`` and ``interop.py`` with ``--json``.
    """
    read = ", ".join(
        f"{way} {interop[f'{way}_seconds']:.1f} s" for way in ("zarr", "xarray", "peakatlas")
    )
    rows = [
        [
            f"{far['keys']:,} rows at a URL: bytes to look up one peak",
            f"{far['remote_one_peak_bytes'] / 1e3:,.0f} kB",
        ],
        ["10,000 peaks of one chromosome", f"{far['remote_10k_peaks_bytes'] / 1e3:,.0f} kB"],
        ["intervals on the disk", f"{far['interval_bytes_per_row']:.1f} bytes a row"],
        [
            "10,000,000 rows, processor time: open and intervals; index of sequences",
            f"{far['open_10m_seconds']:.1f} s; {far['digest_index_10m_seconds']:.1f} s",
        ],
        [
            "10,000 peaks of 2 Mb averaged: memory beside the index",
            f"{far['overlap_mean_rss_mb']:,.0f} MB",
        ],
        [
            f"{interop['rows']:,} rows read by each: "
            f"{'the same values' if interop['values_equal'] else 'OTHER VALUES'}",
            read,
        ],
    ]
    lines = [_row(["from afar, and at size", "measured"]), _row(["---", "---"]), *map(_row, rows)]
    return "\n".join([*lines, "", _measured([far, interop])])


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
