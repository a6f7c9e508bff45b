"""Write the measured tables of README.md from the JSON objects in ``benchmarks/results/``.

python benchmarks/annotate.py --dataset schep2017 --json > benchmarks/results/schep2017.json
python benchmarks/readme_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- begin: benchmarks/annotate.py -->", "<!-- end: benchmarks/annotate.py -->"
TITLES = {
    "schep2017": "Schep 2017, 600 cells, 10 types, 5-fold",
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
        title = TITLES[result["dataset"]]
        for task, figures in result.get("tasks", {"": result}).items():
            name = f"{title}, {task.replace('->', ' → ')}" if task else title
            lines.append(_row([name, *(_cell(figures, prefix) for prefix in COLUMNS.values())]))
    return "\n".join([*lines, "", _provenance(results)])


def with_block(text: str, block: str) -> str:
    """README text with the block between the two markers replaced.

    Raises
    ------
    ValueError
        If a marker is absent.
    """
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"README.md lacks {BEGIN if not found else END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def read_results() -> list[dict[str, Any]]:
    """The committed results, in the order of the table."""
    return [json.loads((RESULTS / f"{name}.json").read_text()) for name in TITLES]


def _cell(figures: dict[str, Any], prefix: str) -> str:
    if f"{prefix}accuracy" not in figures:
        return "–"
    parts = [
        f"{figures[f'{prefix}{metric}']:.3f} ± {figures[f'{prefix}{metric}_sd']:.3f}"
        for metric in ("accuracy", "macro_f1")
    ]
    return " / ".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _provenance(results: list[dict[str, Any]]) -> str:
    seeds = {str(result["seeds"]) for result in results}
    seen = {
        f"{p['date']}, {p['machine']}, commit {p['commit']}"
        for p in (result["provenance"] for result in results)
    }
    return f"Mean ± sd over {', '.join(sorted(seeds))} seeds. Measured {'; '.join(sorted(seen))}."


def main() -> None:
    """Rewrite README.md in place."""
    readme = ROOT / "README.md"
    readme.write_text(with_block(readme.read_text(), annotate_table(read_results())))


if __name__ == "__main__":
    main()
