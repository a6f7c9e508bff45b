"""What an atlas says of itself in a terminal or a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def atlas_facts(provenance: Mapping[str, Any]) -> dict[str, object]:
    """Rows, model, genome and licence of an atlas.

    Parameters
    ----------
    provenance : mapping
        As `Atlas.provenance` gives it.
    """
    spec, model, segments = provenance["spec"], provenance["model"], provenance["segments"]
    rules = f"{spec['window']}, strand {spec['strand']}, pooling {spec['pooling']}"
    return {
        "rows": sum(segment["n_rows"] for segment in segments),
        "dimensions": spec["dim"],
        "model": f"{spec['model']} ({provenance['spec_digest'][:12]})",
        "rules": rules,
        "genome": provenance["genome"].get("name"),
        "licence": model.get("licence"),
        "finished": segments[-1]["finished"] if segments else None,
    }
