"""A route as arrays and JSON, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from peakatlas.classifier.conformal import Conformal
from peakatlas.classifier.groups import TypeShares
from peakatlas.classifier.level_rules import LevelRules
from peakatlas.classifier.linear import LinearHead
from peakatlas.classifier.network import AlignmentNetwork, NetworkOptions
from peakatlas.classifier.novelty import Usual
from peakatlas.classifier.route import Calibration, Route, RouteName, route_encoder
from peakatlas.classifier.temperature import Temperature
from peakatlas.classifier.type_shapes import TypeShapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.classifier.cells import CellEncoder

    Arrays = dict[str, NDArray[Any]]

_PLAIN = ("linear_weight", "min_confidence", "usual_novelty")
_FITTED = ("shapes", "far", "better", "sets")


def route_arrays(route: Route) -> Arrays:
    """The arrays of a route by name; its encoder is kept elsewhere."""
    state = route.network.state_dict()
    return {
        **{f"network.{k}": v.detach().cpu().numpy() for k, v in state.items()},
        "judge.coefficients": route.judge.coefficients,
        "judge.intercept": route.judge.intercept,
        **({} if route.shares is None else {"shares.logs": route.shares.logs}),
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
        f"{name}.{part}.{key}": value
        for part in _FITTED
        for key, value in getattr(calibration, part).arrays().items()
    }


def _restore_calibration(arrays: Arrays, settings: Mapping[str, Any]) -> Calibration:
    usual = {key: tuple(value) for key, value in settings["usual_novelty"].items()}
    return Calibration(
        linear_weight=settings["linear_weight"],
        temperature=Temperature(**settings["temperature"]),
        min_confidence=settings["min_confidence"],
        usual_novelty=usual,
        shapes=TypeShapes.restore(under(arrays, "shapes")),
        far=Usual.restore(under(arrays, "far")),
        better=Usual.restore(under(arrays, "better")),
        sets=Conformal.restore(under(arrays, "sets")),
    )


def _calibration_settings(calibration: Calibration) -> dict[str, Any]:
    plain = {key: getattr(calibration, key) for key in _PLAIN}
    return {**plain, "temperature": calibration.temperature.to_json()}


def route_settings(route: Route) -> dict[str, Any]:
    """The rest of a route as JSON types."""
    return {
        "complete": _calibration_settings(route.complete),
        "partial": _calibration_settings(route.partial),
        "network": asdict(route.network.options),
        "rules": route.rules.to_json(),
        "linear_of_unit_rows": route.linear.unit,
        "validation": route.validation,
    }


def restore_route(
    name: RouteName,
    encoder: CellEncoder,
    arrays: Arrays,
    settings: Mapping[str, Any],
    n_types: int,
) -> Route:
    """Inverse of `route_arrays` and `route_settings`.

    Parameters
    ----------
    name : {"shared", "sequence"}
    encoder : CellEncoder
        Of the bundle.
    arrays, settings : mappings
    n_types : int
    """
    dim = arrays["sample"].shape[1]
    network = AlignmentNetwork(dim, n_types, NetworkOptions(**settings["network"]))
    network.load_state_dict(
        {key: torch.from_numpy(value) for key, value in under(arrays, "network").items()}
    )
    network.eval()
    return Route(
        name=name,
        encoder=route_encoder(encoder, name),
        network=network,
        linear=LinearHead(
            arrays["linear.coefficients"],
            arrays["linear.intercept"],
            unit=settings.get("linear_of_unit_rows", False),
        ),
        judge=LinearHead(arrays["judge.coefficients"], arrays["judge.intercept"]),
        shares=TypeShares(arrays["shares.logs"]) if "shares.logs" in arrays else None,
        complete=_restore_calibration(under(arrays, "complete"), settings["complete"]),
        partial=_restore_calibration(under(arrays, "partial"), settings["partial"]),
        rules=LevelRules.from_json(settings["rules"]),
        sample=arrays["sample"],
        sample_types=arrays["sample_types"],
        sample_open=_restore_open(under(arrays, "sample_open"), len(encoder.rows)),
        validation=settings["validation"],
    )


def under(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with a prefix and a dot, without these."""
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in arrays.items() if key.startswith(start)}
