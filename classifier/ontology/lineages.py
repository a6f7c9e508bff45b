"""Broad kinds of cells, and which of them a term belongs to."""

from __future__ import annotations

from .cell_ontology import cell_ontology

ROOTS = (
    "CL:0000084",  # T cell
    "CL:0000623",  # natural killer cell
    "CL:0000945",  # lymphocyte of B lineage
    "CL:0000784",  # plasmacytoid dendritic cell
    "CL:0000763",  # myeloid cell
    "CL:0000115",  # endothelial cell
    "CL:0000066",  # epithelial cell
    "CL:0000187",  # muscle cell
    "CL:0000540",  # neuron
    "CL:0000125",  # glial cell
    "CL:0000136",  # adipocyte
    "CL:0000669",  # pericyte
    "CL:0000057",  # fibroblast
)
"""In this order: the first that is at or above a term is its lineage."""


def lineage_of(term: str) -> str:
    """Id of the lineage of a term; of one in no lineage, its own id.

    Raises
    ------
    LabelsError
        If there is no such term.
    """
    above = cell_ontology().ancestors(term)
    return next((root for root in ROOTS if root in above), term)
