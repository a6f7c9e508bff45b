"""Refusals to mix what does not belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peakatlas.atlas.format.schema import SHOWN
from peakatlas.engine.errors import GenomeError, SpecMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peakatlas.engine.spec import EmbeddingSpec


def check_same_spec(ours: EmbeddingSpec, theirs: EmbeddingSpec, where: str) -> None:
    """Refuse to mix embeddings of two specs.

    Parameters
    ----------
    ours, theirs : EmbeddingSpec
        Of the atlas, and of what is to go with it.
    where : str
        Name of the atlas, for the text.

    Raises
    ------
    SpecMismatchError
        Names the fields that differ, the atlas's value first.
    """
    if ours != theirs:
        raise SpecMismatchError(
            f"{where} holds embeddings of another model or setting ({ours.difference(theirs)}; "
            "the atlas's value first). Use the atlas's model and settings, or build another atlas."
        )


def check_same_genome(ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
    """Refuse another genome build: contigs of one name must be the same sequence.

    Parameters
    ----------
    ours, theirs : mapping
        Genome provenance; ``contigs`` maps a name to ``{"bp": length, "digest": refget}``. What
        only one side knows is not compared.
    where : str
        Name of the atlas, for the text.

    Raises
    ------
    GenomeError
        Names both genomes and the contigs that differ.
    """
    mine, other = ours.get("contigs", {}), theirs.get("contigs", {})
    differ = [name for name in mine if name in other and _differ(mine[name], other[name])]
    if differ:
        shown = "; ".join(
            f"{name} {mine[name]['bp']} bp {mine[name].get('digest', '')} there, "
            f"{other[name]['bp']} bp {other[name].get('digest', '')} here"
            for name in differ[:SHOWN]
        )
        raise GenomeError(
            f"{where} was built from {ours.get('name')}, and {theirs.get('name')} is another "
            f"build: {len(differ)} contig(s) differ ({shown}). Use the genome of the atlas."
        )


def _differ(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(mine[key] != other[key] for key in mine.keys() & other.keys())
