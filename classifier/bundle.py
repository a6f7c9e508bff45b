"""A trained classifier on disk: safetensors for arrays, JSON for the rest, no pickle."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from peakatlas.engine.errors import BundleError, SpecMismatchError
from peakatlas.engine.intervals import Intervals
from peakatlas.engine.spec import EmbeddingSpec

from .cells import CellEncoder
from .linear import LinearHead
from .network import AlignmentNetwork, NetworkOptions
from .novelty import ReferenceShape, Surprise, restore_shape
from .route import Calibration, Route, RouteName, route_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.atlas.reader import Atlas

    Arrays = dict[str, NDArray[Any]]

FORMAT_VERSION = 2
SETTINGS_FILE = "bundle.json"
ARRAYS_FILE = "arrays.safetensors"
_PLAIN = ("linear_weight", "temperature", "min_confidence", "max_novelty", "usual_novelty")


@dataclass(frozen=True, eq=False, kw_only=True)
class Bundle:
    """Everything that annotation needs."""

    types: tuple[str, ...]
    """Cell types, sorted."""
    registry: Intervals
    """Intervals to which counts are carried."""
    spec: EmbeddingSpec | None
    """Identity of the embeddings; None when trained without an atlas."""
    encoder: CellEncoder
    routes: dict[RouteName, Route]
    """``shared``, ``sequence`` or both."""
    provenance: dict[str, Any]
    """What the bundle was trained on, how, and with which software."""

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

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        BundleError
            If the folder holds other things.
        """
        folder = Path(path)
        if folder.exists() and not (folder / SETTINGS_FILE).exists() and _occupied(folder):
            raise BundleError(f"{folder} exists and is not a bundle. Choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        payload = save_arrays({k: np.ascontiguousarray(v) for k, v in _arrays(self).items()})
        settings = {**_settings(self), "arrays_sha256": hashlib.sha256(payload).hexdigest()}
        _replace(folder / ARRAYS_FILE, payload)
        _replace(folder / SETTINGS_FILE, json.dumps(settings, indent=1, sort_keys=True).encode())

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
        settings, arrays = _read(Path(path))
        try:
            return _restore(settings, arrays)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BundleError(
                f"{path}: the bundle is damaged ({type(error).__name__}: {error}). Train it again."
            ) from error


def _arrays(bundle: Bundle) -> Arrays:
    registry = bundle.registry
    found: Arrays = {
        "registry.contig_ids": registry.contig_ids,
        "registry.start": registry.start,
        "registry.end": registry.end,
    }
    found.update({f"encoder.{k}": v for k, v in bundle.encoder.arrays().items()})
    for name, route in bundle.routes.items():
        found.update({f"{name}.{k}": v for k, v in _route_arrays(route).items()})
    return found


def _route_arrays(route: Route) -> Arrays:
    state = route.network.state_dict()
    return {
        **{f"network.{k}": v.detach().cpu().numpy() for k, v in state.items()},
        **{f"shape.{k}": v for k, v in route.shape.arrays().items()},
        "linear.coefficients": route.linear.coefficients,
        "linear.intercept": route.linear.intercept,
        **_calibration_arrays("complete", route.complete),
        **_calibration_arrays("partial", route.partial),
        "sample": route.sample,
        "sample_types": route.sample_types,
        **_open_arrays(route),
    }


def _open_arrays(route: Route) -> Arrays:
    """Open peaks of the sample by row; ones need not be written."""
    if route.sample_open is None:
        return {}
    return {
        "sample_open.indices": route.sample_open.indices.astype(np.int32),
        "sample_open.indptr": route.sample_open.indptr.astype(np.int64),
    }


def _restore_open(arrays: Arrays, n_rows: int) -> sp.csr_matrix | None:
    if not arrays:
        return None
    ones = np.ones(len(arrays["indices"]), np.float32)
    shape = (len(arrays["indptr"]) - 1, n_rows)
    return sp.csr_matrix((ones, arrays["indices"], arrays["indptr"]), shape=shape)


def _calibration_arrays(name: str, calibration: Calibration) -> Arrays:
    return {
        f"{name}.vague.edges": calibration.vague.edges,
        f"{name}.vague.levels": calibration.vague.levels,
        f"{name}.strange.edges": calibration.strange.edges,
        f"{name}.strange.levels": calibration.strange.levels,
    }


def _restore_calibration(arrays: Arrays, settings: Mapping[str, Any]) -> Calibration:
    return Calibration(
        **settings,
        vague=Surprise(arrays["vague.edges"], arrays["vague.levels"]),
        strange=Surprise(arrays["strange.edges"], arrays["strange.levels"]),
    )


def _settings(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": "peakatlas-bundle",
        "format_version": FORMAT_VERSION,
        "types": list(bundle.types),
        "contigs": list(bundle.registry.contigs),
        "spec": None if bundle.spec is None else bundle.spec.to_json(),
        "spec_digest": None if bundle.spec is None else bundle.spec.digest,
        "encoder": bundle.encoder.settings(),
        "routes": {
            name: {
                "complete": {key: getattr(route.complete, key) for key in _PLAIN},
                "partial": {key: getattr(route.partial, key) for key in _PLAIN},
                "network": asdict(route.network.options),
                "validation": route.validation,
            }
            for name, route in bundle.routes.items()
        },
        "provenance": bundle.provenance,
    }


def _read(folder: Path) -> tuple[dict[str, Any], Arrays]:
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        payload = (folder / ARRAYS_FILE).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder} is not a bundle: it has no {Path(error.filename).name}."
        ) from None
    except json.JSONDecodeError as error:
        raise BundleError(f"{folder / SETTINGS_FILE} is damaged: {error}. Train again.") from None
    if settings.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{folder}: format version {settings.get('format_version')} is not the one that this "
            f"peakatlas reads ({FORMAT_VERSION}). Train again."
        )
    if hashlib.sha256(payload).hexdigest() != settings.get("arrays_sha256"):
        raise BundleError(
            f"{folder / ARRAYS_FILE} is not the file that {SETTINGS_FILE} names (SHA-256 differs). "
            "Copy the bundle again, or train again."
        )
    try:
        return settings, load_arrays(payload)
    except SafetensorError as error:
        raise BundleError(f"{folder / ARRAYS_FILE} is damaged: {error}. Train again.") from error


def _restore(settings: Mapping[str, Any], arrays: Arrays) -> Bundle:
    encoder = CellEncoder.restore(_under(arrays, "encoder"), settings["encoder"])
    types = tuple(settings["types"])
    return Bundle(
        types=types,
        registry=Intervals(
            tuple(settings["contigs"]),
            arrays["registry.contig_ids"],
            arrays["registry.start"],
            arrays["registry.end"],
        ),
        spec=None if settings["spec"] is None else EmbeddingSpec.from_json(settings["spec"]),
        encoder=encoder,
        routes={
            name: _restore_route(name, encoder, _under(arrays, name), values, len(types))
            for name, values in settings["routes"].items()
        },
        provenance=settings["provenance"],
    )


def _restore_route(
    name: RouteName,
    encoder: CellEncoder,
    arrays: Arrays,
    settings: Mapping[str, Any],
    n_types: int,
) -> Route:
    shape: ReferenceShape = restore_shape(_under(arrays, "shape"))
    network = AlignmentNetwork(shape.means.shape[1], n_types, NetworkOptions(**settings["network"]))
    network.load_state_dict(
        {key: torch.from_numpy(value) for key, value in _under(arrays, "network").items()}
    )
    network.eval()
    return Route(
        name=name,
        encoder=route_encoder(encoder, name),
        network=network,
        linear=LinearHead(arrays["linear.coefficients"], arrays["linear.intercept"]),
        shape=shape,
        complete=_restore_calibration(_under(arrays, "complete"), settings["complete"]),
        partial=_restore_calibration(_under(arrays, "partial"), settings["partial"]),
        sample=arrays["sample"],
        sample_types=arrays["sample_types"],
        sample_open=_restore_open(_under(arrays, "sample_open"), len(encoder.rows)),
        validation=settings["validation"],
    )


def _under(arrays: Arrays, prefix: str) -> Arrays:
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in arrays.items() if key.startswith(start)}


def _occupied(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


def _replace(path: Path, payload: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(payload)
    draft.replace(path)
