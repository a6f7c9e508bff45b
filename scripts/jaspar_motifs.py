"""Write the motifs that the shipped model was taught: JASPAR 2024 CORE, human, mouse and rat.

    pip download --no-deps pyjaspar==4.0.0 && unzip pyjaspar-4.0.0-py3-none-any.whl
    python scripts/jaspar_motifs.py pyjaspar/data/JASPAR2024.sqlite > JASPAR2024.txt

The latest version of each matrix in the order of their ids, in JASPAR's text format. JASPAR:
Rauluseviciute et al. 2024, doi:10.1093/nar/gkad1059.
"""

from __future__ import annotations

import sqlite3
import sys

SPECIES = ("9606", "10090", "10116")
LATEST = """
    SELECT ID, BASE_ID, NAME, MAX(CAST(VERSION AS INTEGER)) FROM MATRIX
    WHERE COLLECTION = 'CORE' GROUP BY BASE_ID ORDER BY BASE_ID
"""

COUNTS = "SELECT val FROM MATRIX_DATA WHERE ID = ? AND row = ? ORDER BY CAST(col AS INTEGER)"


def main(database: str) -> None:
    """Print the motifs of a JASPAR database."""
    query = sqlite3.connect(database).execute
    mark = ", ".join("?" * len(SPECIES))
    kept = {
        row for (row,) in query(f"SELECT ID FROM MATRIX_SPECIES WHERE TAX_ID IN ({mark})", SPECIES)
    }
    for number, base_id, name, _ in query(LATEST).fetchall():
        if number not in kept:
            continue
        print(f">{base_id} {name}")
        for base in "ACGT":
            counts = query(COUNTS, (number, base))
            print(f"{base} [ {' '.join(f'{value:g}' for (value,) in counts)} ]")


if __name__ == "__main__":
    main(sys.argv[1])
