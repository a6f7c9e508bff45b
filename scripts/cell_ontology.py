#!/usr/bin/env python3
"""Make `classifier/ontology/cell_ontology.json.gz` from the copy that a PyPI package holds.

    pip download --no-deps cellxgene-ontology-guide==1.11.1
    python scripts/cell_ontology.py cellxgene_ontology_guide-1.11.1-py3-none-any.whl

The Cell Ontology (Diehl et al. 2016, doi:10.1186/s13326-016-0088-7; CC BY 4.0) in the edition of
CELLxGENE's schema: cell types with their labels, synonyms and parents, and which term took the
place of a retired one. Definitions are left out.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import zipfile
from pathlib import Path

from numcodecs import Zstd

OUT = Path(__file__).parents[1] / "classifier" / "ontology" / "cell_ontology.json.gz"


def main(wheel: Path) -> None:
    """Write the file from the newest edition that the wheel holds."""
    with zipfile.ZipFile(wheel) as archive:
        name = max(n for n in archive.namelist() if "/CL-ontology-" in n)
        terms = json.loads(Zstd().decode(archive.read(name)))
    edition = re.search(r"v\d{4}-\d\d-\d\d", name)
    if edition is None:
        raise SystemExit(f"error: no edition in {name!r}")
    kept = {key: _slim(term) for key, term in sorted(terms.items()) if key.startswith("CL:")}
    text = json.dumps({"edition": edition[0], "terms": kept}, separators=(",", ":"))
    OUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{OUT}: {edition[0]}, {len(kept)} terms, {OUT.stat().st_size} bytes")


def _slim(term: dict[str, object]) -> dict[str, object]:
    ancestors: dict[str, int] = term["ancestors"]  # type: ignore[assignment]
    slim = {
        "label": term["label"],
        "synonyms": term.get("synonyms") or [],
        "parents": sorted(key for key, steps in ancestors.items() if steps == 1),
    }
    if term.get("deprecated"):
        slim["replaced_by"] = term.get("replaced_by") or ""
    return slim


if __name__ == "__main__":
    main(Path(sys.argv[1]))
