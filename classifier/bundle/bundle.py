"""A trained classifier on disk: safetensors for arrays, JSON for the rest, no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from peakatlas.classifier.cells import CellEncoder
from peakatlas.classifier.counts.levels import Levels
from peakatlas.engine.errors import BundleError, SpecMismatchError
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec
from peakatlas.engine.summary import Summary, listed

from .folder import FORMAT_VERSION, read_bundle_files, write_bundle_files
from .route_files import restore_route, route_arrays, route_settings, under

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.classifier.route import Route, RouteName

    from .route_files import Arrays


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Bundle(Summary):
    """Everything that annotation needs.

    Examples
    --------
    >>> bundle = Bundle.load("bundle")
    >>> bundle.levels.columns, len(bundle.registry)
    (('cell_type',), 89)
    >>> sorted(bundle.validation)  # scores of each route on held-out reference cells
    ['sequence', 'shared']
    """

    levels: Levels
    """Cell types, coarse to fine."""
    registry: Intervals
    """Intervals to which counts are carried."""
    spec: EmbeddingSpec | None
    """Identity of the embeddings; None when trained without an atlas."""
    encoder: CellEncoder
    routes: dict[RouteName, Route]
    """``shared``, ``sequence`` or both."""
    provenance: dict[str, Any]
    """What the bundle was trained on, how, and with which software."""

    def _summary(self) -> tuple[str, dict[str, object]]:
        made, spec = self.provenance, self.spec
        return f"Bundle of {len(self.types)} cell types", {
            "types": listed(self.types),
            "levels": listed(self.levels.columns) if len(self.levels.columns) > 1 else None,
            "reference": made.get("reference"),
            "cells": made.get("cells"),
            "elements": len(self.registry),
            "embeddings": "none, DNA is not read"
            if spec is None
            else f"{spec.model} ({spec.digest[:12]})",
            **{f"route {name}": _held_out(scores) for name, scores in self.validation.items()},
        }

    @property
    def types(self) -> tuple[str, ...]:
        """Cell types of the finest level, sorted."""
        return self.levels.finest

    @property
    def validation(self) -> dict[str, dict[str, Any]]:
        """Scores of each route on held-out reference cells."""
        return {name: route.validation for name, route in self.routes.items()}

    def check_atlas(self, atlas: Atlas | None) -> None:
        """Refuse an atlas whose embeddings the bundle was not trained on.

        Raises
        ------
        SpecMismatchError
            If the specs differ; the text names both.
        BundleError
            If the bundle needs an atlas and none is given.
        """
        if self.spec is None:
            return
        if atlas is None:
            if "shared" in self.routes and self.encoder.representation == "reindexed":
                return
            raise BundleError(
                f"the bundle reads embeddings of {self.spec.model} ({self.spec.digest[:12]}). "
                "Give the atlas that it was trained with."
            )
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
            Folder that `save` wrote.

        Raises
        ------
        BundleError
            If there is no bundle, it is damaged, or of another format version.
        """
        settings, payload = read_bundle_files(Path(path))
        try:
            return _restore(settings, load_arrays(payload))
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise BundleError(
                f"{path}: the bundle is damaged ({type(error).__name__}: {error}). Train it again."
            ) from error


def _held_out(scores: Mapping[str, Any]) -> str:
    """Accuracy on held-out cells in words; none for a bundle that kept no such score."""
    whole = scores.get("fused_full_depth")
    return "fitted" if whole is None else f"accuracy {whole['accuracy']:.3f} on held-out cells"


def _arrays(bundle: Bundle) -> Arrays:
    registry = bundle.registry
    found: Arrays = {
        "registry.contig_ids": registry.contig_ids,
        "registry.start": registry.start,
        "registry.end": registry.end,
    }
    found.update({f"encoder.{k}": v for k, v in bundle.encoder.arrays().items()})
    for name, route in bundle.routes.items():
        found.update({f"{name}.{k}": v for k, v in route_arrays(route).items()})
    return found


def _settings(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": "peakatlas-bundle",
        "format_version": FORMAT_VERSION,
        "levels": bundle.levels.to_json(),
        "contigs": list(bundle.registry.contigs),
        "spec": None if bundle.spec is None else bundle.spec.to_json(),
        "spec_digest": None if bundle.spec is None else bundle.spec.digest,
        "encoder": bundle.encoder.settings(),
        "routes": {name: route_settings(route) for name, route in bundle.routes.items()},
        "provenance": bundle.provenance,
    }


def _restore(settings: Mapping[str, Any], arrays: Arrays) -> Bundle:
    encoder = CellEncoder.restore(under(arrays, "encoder"), settings["encoder"])
    levels = Levels.from_json(settings["levels"])
    n_types = len(levels.finest)
    return Bundle(
        levels=levels,
        registry=Intervals(
            tuple(settings["contigs"]),
            arrays["registry.contig_ids"],
            arrays["registry.start"],
            arrays["registry.end"],
        ),
        spec=None if settings["spec"] is None else EmbeddingSpec.from_json(settings["spec"]),
        encoder=encoder,
        routes={
            name: restore_route(name, encoder, under(arrays, name), values, n_types)
            for name, values in settings["routes"].items()
        },
        provenance=settings["provenance"],
    )
