"""A trained classifier on disk: safetensors for arrays, JSON for the rest, no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from peakatlas.classifier.counts.levels import Levels
from peakatlas.classifier.ontology.mapping import UNKNOWN, OntologyMapping
from peakatlas.engine.errors import BundleError, SpecMismatchError
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.summary import Summary, listed

from .catalogue import find_bundle
from .folder import FORMAT_VERSION, read_bundle_files, write_bundle_files
from .reference_files import named, reference_arrays, reference_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.classifier.models.protocol import Cells
    from peakatlas.engine.spec import EmbeddingSpec

    from .settings import BundleSettings, ElementsDocument

Method = Literal["default", "network"]
METHODS: dict[Method, tuple[str, ...] | None] = {"default": None, "network": ("network",)}
"""Members of the labeller by method; None for all."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Bundle(Summary):
    """Everything that annotation needs: the reference cells, and how well they can be labelled.

    The labeller itself is fitted to each query.

    Examples
    --------
    >>> bundle = Bundle.load("bundle")
    >>> bundle.levels.columns, len(bundle.peaks) == bundle.reference.n_peaks
    (('cell_type',), True)
    >>> 0 < bundle.held_out["accuracy"] <= 1  # of reference cells that were held out
    True
    """

    levels: Levels
    """Cell types, coarse to fine."""
    peaks: Intervals
    """Intervals to which counts are carried."""
    reference: Cells
    """Reference cells over `peaks`, with labels (of the finest level) and batches."""
    spec: EmbeddingSpec | None
    """Identity of the embeddings; None when trained without an atlas."""
    method: Method
    """Which members the labeller has."""
    held_out: dict[str, Any]
    """How well held-out reference cells were labelled; see `held_out_scores`."""
    provenance: dict[str, Any]
    """What the bundle was trained on, how, and with which software."""
    ontology: OntologyMapping | None = None
    """Terms of the Cell Ontology that the types are; None where it was not asked for."""
    elements: ElementsDocument | None = None
    """Annotated elements whose terms describe the peaks; None where they are not read."""

    def _summary(self) -> tuple[str, dict[str, object]]:
        made, spec = self.provenance, self.spec
        return f"Bundle of {len(self.types)} cell types", {
            "types": listed(self.types),
            "levels": listed(self.levels.columns) if len(self.levels.columns) > 1 else None,
            "ontology": None
            if self.ontology is None
            else f"{len(set(self.types) & set(self.ontology.terms))} of {len(self.types)} types",
            "reference": made.get("reference"),
            "cells": made.get("cells"),
            "peaks": len(self.peaks),
            "elements": None if self.elements is None else self.elements.source,
            "embeddings": "none, DNA is not read"
            if spec is None
            else f"{spec.model} ({spec.digest[:12]})",
            "held-out accuracy": f"{self.held_out['accuracy']:.3f}",
        }

    @property
    def types(self) -> tuple[str, ...]:
        """Cell types of the finest level, sorted."""
        return self.levels.finest

    @property
    def term_ids(self) -> tuple[str, ...]:
        """Cell Ontology id of each of `types`, "unknown" where there is none."""
        if self.ontology is None:
            return (UNKNOWN,) * len(self.types)
        return tuple(self.ontology.ids(self.types))

    def check_atlas(self, atlas: Atlas | None) -> None:
        """Refuse an atlas whose embeddings the bundle was not trained on.

        Raises
        ------
        SpecMismatchError
            If the specs differ; the text names both.
        """
        if self.spec is None or atlas is None:
            return
        if atlas.spec.digest != self.spec.digest:
            raise SpecMismatchError(
                f"the bundle was trained on embeddings of {self.spec.model} "
                f"({self.spec.digest[:12]}), but the atlas holds those of {atlas.spec.model} "
                f"({atlas.spec.digest[:12]}): {self.spec.difference(atlas.spec)}. "
                "Train again on this atlas, or give the atlas of the bundle."
            )

    def save(self, path: str | Path) -> None:
        """Write the bundle into a folder, over an earlier bundle if there is one.

        It is whole or has not happened: see `write_bundle_files`.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        BundleError
            If the folder holds other things.
        """
        payload = save_arrays({k: np.ascontiguousarray(v) for k, v in _arrays(self).items()})
        write_bundle_files(Path(path), _settings(self), payload)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read a bundle.

        Parameters
        ----------
        path : str or Path
            Folder that `save` wrote, or name of a bundle that peakatlas knows.

        Raises
        ------
        BundleError
            If there is no bundle, it is damaged, or of another format version.
        """
        settings, payload = read_bundle_files(find_bundle(path))
        try:
            return _restore(settings, load_arrays(payload))
        except (LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise BundleError(
                f"{path}: the bundle is damaged ({type(error).__name__}: {error}). Train it again."
            ) from error


def _batches(bundle: Bundle) -> list[str]:
    batches = bundle.reference.batches
    return [] if batches is None else np.unique(batches).tolist()


def _arrays(bundle: Bundle) -> dict[str, NDArray[Any]]:
    return {
        "peaks.contig_ids": bundle.peaks.contig_ids,
        "peaks.start": bundle.peaks.start,
        "peaks.end": bundle.peaks.end,
        **reference_arrays(bundle.reference, bundle.types, _batches(bundle)),
    }


def _settings(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": "peakatlas-bundle",
        "format_version": FORMAT_VERSION,
        "levels": bundle.levels.to_json(),
        "batches": _batches(bundle),
        "contigs": list(bundle.peaks.contigs),
        "spec": None if bundle.spec is None else bundle.spec.to_json(),
        "spec_digest": None if bundle.spec is None else bundle.spec.digest,
        "method": bundle.method,
        "held_out": bundle.held_out,
        "provenance": bundle.provenance,
        "ontology": None if bundle.ontology is None else bundle.ontology.to_json(),
        "elements": msgspec.to_builtins(bundle.elements),
    }


def _restore(settings: BundleSettings, arrays: Mapping[str, NDArray[Any]]) -> Bundle:
    levels = Levels.from_json(msgspec.to_builtins(settings.levels))
    named(arrays["peaks.contig_ids"], settings.contigs)  # each has a name
    peaks = Intervals(
        tuple(settings.contigs),
        arrays["peaks.contig_ids"],
        arrays["peaks.start"],
        arrays["peaks.end"],
    )
    if settings.method not in METHODS:
        raise ValueError(f"unknown method {settings.method!r}")
    return Bundle(
        levels=levels,
        peaks=peaks,
        reference=reference_cells(
            arrays,
            levels.finest,
            settings.batches,
            len(peaks),
            "dna" if settings.elements is None else "terms",
        ),
        elements=settings.elements,
        spec=settings.embedding_spec(),
        method=settings.method,
        held_out=settings.held_out,
        provenance=settings.provenance,
        ontology=None
        if settings.ontology is None
        else OntologyMapping.from_json(msgspec.to_builtins(settings.ontology)),
    )
