"""Finished stages of a training, kept beside the bundle until it is saved."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_arrays

from peakatlas.atlas.storage.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]
    Packed = tuple[Arrays, dict[str, Any]]

T = TypeVar("T")


def checkpoint_folder(bundle: Path) -> Path:
    """Where the finished stages of a training are kept: a hidden folder beside the bundle."""
    return bundle.absolute().with_name(f".{bundle.absolute().name}.training")


class Checkpoints:
    """Stages by name; what was made from other inputs is made anew.

    Parameters
    ----------
    folder : Path or None
        None to keep nothing.
    key : str
        Digest of all that the stages are made from (`digest_of`).
    say : callable, optional
        Called with a few words when a stage is taken from an earlier run.
    """

    def __init__(
        self, folder: Path | None, key: str, say: Callable[[str], None] | None = None
    ) -> None:
        self._folder, self._key, self._say = folder, key, say or (lambda _: None)

    @property
    def kept(self) -> bool:
        """Whether stages are kept at all."""
        return self._folder is not None

    def keyed(self, *more: object) -> Checkpoints:
        """The same folder, with more that later stages are made from."""
        if self._folder is None:
            return self
        return Checkpoints(self._folder, digest_of(self._key, *more), self._say)

    def stage(
        self,
        name: str,
        make: Callable[[], T],
        pack: Callable[[T], Packed],
        unpack: Callable[[Arrays, dict[str, Any]], T],
    ) -> T:
        """What a stage gives, from its file if an earlier run finished it.

        Parameters
        ----------
        name : str
        make : callable
            Does the work.
        pack, unpack : callable
            To arrays and JSON types, and back.

        Raises
        ------
        AtlasError
            If the disk refuses.
        """
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.safetensors"
        found = self._read(path)
        if found is not None:
            self._say(f"going on after an earlier run: {name} is done")
            return unpack(*found)
        value = make()
        arrays, settings = pack(value)
        metadata = {"key": self._key, "settings": json.dumps(settings)}
        whole = {key: np.ascontiguousarray(each) for key, each in arrays.items()}
        write_bytes(path, save_arrays(whole, metadata))
        return value

    def _read(self, path: Path) -> Packed | None:
        """Arrays and settings of a stage made from the same inputs, None if there is none."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("key") != self._key:
                    return None
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:
            return None
        return arrays, json.loads(metadata["settings"])


def remove_checkpoints(bundle: Path) -> None:
    """Remove what a finished training kept beside its bundle."""
    shutil.rmtree(checkpoint_folder(bundle), ignore_errors=True)


def digest_of(*parts: object) -> str:
    """SHA-256 of arrays, sparse matrices, intervals and JSON types, in order.

    Parameters
    ----------
    *parts : object
        Whatever has no bytes of its own is written as JSON; paths by size and time of change.
    """
    whole = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            whole.update(hashlib.sha256(piece).digest())
    return whole.hexdigest()


def _pieces(part: object) -> list[bytes]:
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        head = json.dumps([str(part.dtype), part.shape]).encode()
        return [head, np.ascontiguousarray(part).tobytes()]
    if isinstance(part, np.ndarray):
        return [json.dumps(part.tolist()).encode()]
    if isinstance(part, Path):
        state = part.stat() if part.exists() else None
        return [json.dumps([str(part), state and (state.st_size, state.st_mtime_ns)]).encode()]
    return [json.dumps(part, sort_keys=True).encode()]
