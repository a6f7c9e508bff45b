"""What an atlas says of itself in a terminal or a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .format.opening import listed_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .format.schema import Plan


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


def stored_facts(manifest: Mapping[str, Any], plans: Sequence[Plan]) -> dict[str, Any]:
    """Size, model, licence and genome of an atlas as JSON types.

    Parameters
    ----------
    manifest : mapping
    plans : sequence of Plan
        Of its segments.
    """
    plan = plans[0]
    return {
        "format_version": manifest["format_version"],
        "n_intervals": manifest["n_rows"],
        "dim": plan.spec.dim,
        "stored_as": plan.dtype,
        "n_contigs": len({name for each in plans for name in each.contigs}),
        "n_segments": len(plans),
        "n_shards": sum(each.n_shards for each in plans),
        "bytes": sum(file["bytes"] for _, file in listed_files(manifest)),
        "model": plan.spec.model,
        "licence": plan.model.get("licence"),
        "window": plan.spec.window,
        "spec_digest": plan.spec.digest,
        "genome": plan.genome.get("name"),
        "finished": manifest["segments"][-1]["finished"],
    }
