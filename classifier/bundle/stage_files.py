"""What the stages of a training give, as arrays and JSON, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.search.lookup import LookupResult
from peakatlas.classifier.cells import CellEncoder
from peakatlas.classifier.counts.registry import ResolvedValues
from peakatlas.classifier.heads import Head
from peakatlas.classifier.selection import HeldOut

from .route_files import restore_route, route_arrays, route_settings, under

if TYPE_CHECKING:
    from peakatlas.classifier.route import Route, RouteName
    from peakatlas.classifier.training.checkpoints import Arrays, Packed
    from peakatlas.engine.intervals.table import Intervals

_LOOKUP = ("row", "tier", "overlap_row", "overlap_bp", "centre_offset_bp")


def pack_lookup(found: ResolvedValues) -> Packed:
    """Embeddings of peaks and what served them."""
    arrays = {"values": found.values}
    if found.lookup is not None:
        arrays |= {name: np.asarray(getattr(found.lookup, name)) for name in _LOOKUP}
    return arrays, {}


def unpack_lookup(peaks: Intervals, arrays: Arrays) -> ResolvedValues:
    """Inverse of `pack_lookup`."""
    lookup = None
    if "row" in arrays:
        lookup = LookupResult(peaks=peaks, **{name: arrays[name] for name in _LOOKUP})
    return ResolvedValues(arrays["values"], lookup)


def pack_encoder(encoder: CellEncoder) -> Packed:
    """An encoder."""
    return encoder.arrays(), encoder.settings()


def unpack_encoder(arrays: Arrays, settings: dict[str, Any]) -> CellEncoder:
    """Inverse of `pack_encoder`."""
    return CellEncoder.restore(arrays, settings)


def pack_held_out(held: list[HeldOut]) -> Packed:
    """Held-out cells: arrays, arrays by head, and pairs of arrays by fold."""
    arrays: Arrays = {}
    keys: list[dict[str, list[Any]]] = []
    for i, part in enumerate(held):
        keys.append({})
        for field in fields(part):
            value, name = getattr(part, field.name), f"{i}.{field.name}"
            if isinstance(value, np.ndarray):
                arrays[name] = value
            elif isinstance(value, dict):
                keys[-1][field.name] = list(value)
                arrays |= {f"{name}.{j}": each for j, each in enumerate(value.values())}
            else:
                pairs = (
                    (j, k, each) for j, pair in enumerate(value) for k, each in enumerate(pair)
                )
                arrays |= {f"{name}.{j}.{k}": each for j, k, each in pairs}
    return arrays, {"keys": keys}


def unpack_held_out(arrays: Arrays, settings: dict[str, Any]) -> list[HeldOut]:
    """Inverse of `pack_held_out`."""
    return [
        HeldOut(**{f.name: _field(f.name, under(arrays, str(i)), keys) for f in fields(HeldOut)})
        for i, keys in enumerate(settings["keys"])
    ]


def _field(name: str, arrays: Arrays, keys: dict[str, list[Any]]) -> Any:  # noqa: ANN401
    if name in arrays:
        return arrays[name]
    inside = under(arrays, name)
    if name in keys:
        return {Head(*key): inside[str(j)] for j, key in enumerate(keys[name])}
    n_pairs = len({key.partition(".")[0] for key in inside})
    return [(inside[f"{j}.0"], inside[f"{j}.1"]) for j in range(n_pairs)]


def pack_route(route: Route) -> Packed:
    """A fitted route without its encoder."""
    return route_arrays(route), route_settings(route)


def unpack_route(
    name: RouteName, encoder: CellEncoder, n_types: int, arrays: Arrays, settings: dict[str, Any]
) -> Route:
    """Inverse of `pack_route`."""
    return restore_route(name, encoder, arrays, settings, n_types)
