"""Load the model that an atlas was made with, from what the atlas says of it."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.format.open_segment import OpenSegment
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.models.table import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peakatlas.atlas.storage.base import Storage
    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.spec import EmbeddingSpec

_COMMIT = re.compile("[0-9a-f]{40}")


def own_embedder(
    spec: EmbeddingSpec,
    known: Mapping[str, Any],
    *,
    model: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    device: str | None = None,
) -> Embedder:
    """Load the model of an atlas with the atlas's rules.

    Parameters
    ----------
    spec : EmbeddingSpec
        Of the atlas.
    known : mapping
        Provenance of its model: where it was taken from, at which revision.
    model : str, optional
        Name, hub id or folder, where it is not where `known` says.
    revision, trust_remote_code, device
        As in `Embedder.load`; the commit in `known` is the revision if none is given.

    Raises
    ------
    ModelError
        If the model cannot be found, loaded or trusted.
    SpecMismatchError
        If it is another model; names what differs.
    """
    from peakatlas.engine.embedder import Embedder  # noqa: PLC0415 - torch only when needed

    commit = str(known.get("revision"))
    pinned = revision or (commit if _COMMIT.fullmatch(commit) else None)
    source = model or (spec.model if spec.model in MODELS else known.get("source"))
    if model is None and spec.model not in MODELS:
        _say_source(str(source or spec.model), pinned)
    return Embedder.for_spec(
        spec,
        model=source,
        revision=pinned,
        trust_remote_code=trust_remote_code,
        device=device,
    )


def _say_source(source: str, revision: str | None) -> None:
    """Show what the atlas names, before anything of it is fetched."""
    at = f" at revision {revision}" if revision else ""
    warnings.warn(
        f"the atlas says that its model is {source!r}{at}; it is loaded from there, and fetched "
        "first unless it is a folder or in the cache. Give --model to take another copy.",
        stacklevel=3,
    )


def recorded_model(storage: Storage, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the first plan that can be read says of the model; nothing if none can be."""
    for entry in manifest["segments"]:
        with suppress(AtlasError, FileNotFoundError):
            return OpenSegment(storage, entry).plan.model
    return {}
