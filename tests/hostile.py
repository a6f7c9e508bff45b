"""Atlases that somebody made to do harm: every document agrees with the others, and each lies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np

from peakatlas.atlas import Atlas
from peakatlas.atlas.build.cluster import finalise_atlas
from peakatlas.atlas.check.repair import repair_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.format.digests import bytes_digest
from peakatlas.atlas.format.schema import seal_manifest
from peakatlas.atlas.storage.atomic import json_bytes
from peakatlas.engine.errors import PeakAtlasError

Change = Callable[[dict[str, Any]], object]
SEGMENT = "segment-0000"


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def pickled(mark: Path) -> bytes:
    """A pickle that touches `mark` when it is read; never as long as a chunk of float16."""
    values = np.empty(1, object)
    values[0] = Touches(mark)
    data = bytes(numcodecs.Pickle().encode(values))
    return data if len(data) % 2 else data + b"\0"  # what follows the end of a pickle is not read


def edit(path: Path, change: Change) -> None:
    """Change a document and write it as the format has it."""
    values = json.loads(path.read_text())
    change(values)
    path.write_bytes(json_bytes(values))


def reseal(root: Path, change: Change = lambda manifest: None) -> None:
    """Make the manifest list what is there, change it, and seal it."""
    manifest = json.loads((root / "manifest.json").read_text())
    for name, file in manifest["segments"][0]["files"].items():
        data = (root / SEGMENT / name).read_bytes()
        file |= {"bytes": len(data), "sha256": bytes_digest(data)}
    change(manifest)
    (root / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))


def edit_plan(root: Path, change: Change) -> None:
    """Change the plan, its number of rows in the manifest with it, and seal both."""
    edit(root / SEGMENT / "plan.json", change)
    n_rows = json.loads((root / SEGMENT / "plan.json").read_text())["n_rows"]

    def follow(manifest: dict[str, Any]) -> None:
        manifest["n_rows"] = manifest["segments"][0]["n_rows"] = n_rows

    reseal(root, follow)


def edit_file(root: Path, name: str, **changes: object) -> None:
    """Change what the manifest says of a file."""
    reseal(
        root, lambda manifest: manifest["segments"][0]["files"].setdefault(name, {}).update(changes)
    )


def pickle_beside(root: Path, mark: Path) -> None:
    """Metadata of Zarr 2 beside those of Zarr 3, with a filter that unpickles."""
    folder = root / SEGMENT / "embedding"
    (folder / "zarr.json").unlink()
    (folder / "0.0").write_bytes(pickled(mark))
    array = {
        "zarr_format": 2, "shape": [1, 1], "chunks": [1, 1], "dtype": "|O", "fill_value": "",
        "order": "C", "compressor": None, "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}],
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(array))
    list_only(root, lambda files: files.pop("embedding/zarr.json"))


def list_only(root: Path, change: Change) -> None:
    """Change the listed files of a manifest, whatever is there, and seal it."""
    manifest = json.loads((root / "manifest.json").read_text())
    change(manifest["segments"][0]["files"])
    (root / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))


def compressed(root: Path, codec: str, data: bytes) -> None:
    """A first chunk of embeddings that is compressed, by the metadata with any codec."""
    folder = root / SEGMENT / "embedding"
    inside = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": codec}]

    def name_codec(array: dict[str, Any]) -> None:
        array["codecs"][0]["configuration"]["codecs"] = [*inside, {"name": "crc32c"}]

    edit(folder / "zarr.json", name_codec)
    shard = (folder / "c" / "0" / "0").read_bytes()
    n_chunks = json.loads((root / SEGMENT / "plan.json").read_text())
    n = n_chunks["shard_rows"] // n_chunks["chunk_rows"]
    index = np.frombuffer(shard[-16 * n - 4 : -4], "<u8").reshape(-1, 2).copy()
    index[0] = 0, len(data) + 4
    whole = data + crc(data) + index.tobytes() + crc(index.tobytes())
    (folder / "c" / "0" / "0").write_bytes(whole)

    def unlist(manifest: dict[str, Any]) -> None:
        for file in manifest["segments"][0]["files"].values():
            file.pop("crc32c", None)

    reseal(root, unlist)


def crc(data: bytes) -> bytes:
    """CRC32C as it stands behind a chunk."""
    return int(google_crc32c.value(data)).to_bytes(4, "little")


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def use(root: Path) -> list[str]:
    """Do all that can be done with an atlas; what it raises, in the order of doing."""
    said = []
    for act in (
        lambda: Atlas.open(root).gather(np.arange(len(Atlas.open(root)))),
        lambda: Atlas.open(root).intervals,
        lambda: verify_atlas(root, deep=True),
        lambda: repair_atlas(root),
        lambda: finalise_atlas(root),
    ):
        try:
            act()
        except PeakAtlasError as error:
            said.append(str(error))
    return said
