"""A folder behind an fsspec URL: byte ranges, several at a time, with retries and clear errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from fsspec.core import url_to_fs
from fsspec.utils import get_protocol

from peakatlas.engine.errors import AtlasError, MissingDependencyError

from .base import ByteRange, check_length

if TYPE_CHECKING:
    from zarr.abc.store import Store

    T = TypeVar("T")

FileSystem: TypeAlias = Any  # fsspec ships no types
REQUESTS_AT_ONCE = 16
ATTEMPTS = 3
STALL_S = 60.0
"""Give a web server up after so long without a byte; object stores have timeouts of their own."""
_PAUSE_S = 0.3
_PACKAGES = {
    "http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs",
    "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "sftp": "paramiko", "ssh": "paramiko",
}  # fmt: skip


class RemoteStorage:
    """A folder behind a URL; use `open`.

    Parameters
    ----------
    url : str
        As the user gave it.
    fs : fsspec.AbstractFileSystem
    root : str
        Path of the folder in `fs`.
    options : mapping
        What `fs` was made with.
    """

    def __init__(self, url: str, fs: FileSystem, root: str, options: Mapping[str, Any]) -> None:
        self.name = url.rstrip("/")
        self._fs, self._root, self._options = fs, root.rstrip("/"), dict(options)

    @classmethod
    def open(cls, url: str, options: Mapping[str, Any]) -> Self:
        """Storage of a URL; nothing is read yet.

        Raises
        ------
        AtlasError
            If the protocol is unknown, or its filesystem refuses the options.
        MissingDependencyError
            If the package that speaks it is not installed.
        """
        protocol = get_protocol(url)
        try:
            fs, root = url_to_fs(url, **_with_timeout(protocol, options))
        except ImportError as error:
            package = _PACKAGES.get(protocol, f"the fsspec filesystem of {protocol}://")
            raise MissingDependencyError(
                f"{url}: reading {protocol}:// needs {package}, which is not installed ({error}). "
                f"Install it: pip install {_PACKAGES.get(protocol, '…')}."
            ) from error
        except (ValueError, TypeError) as error:
            raise AtlasError(
                f"{url} cannot be opened ({error}). Give a local path, or a URL that fsspec knows "
                "such as https://, s3://, gs:// or memory://."
            ) from error
        return cls(url, fs, root, options)

    def where(self, name: str) -> str:
        """URL of a file, for errors."""
        return f"{self.name}/{name}"

    def local_path(self, name: str = "") -> None:
        """None: nothing here is on this machine."""

    def exists(self, name: str) -> bool:
        """Whether a file is there.

        Raises
        ------
        AtlasError
            If the server does not answer.
        """
        return bool(self._ask(name, lambda: self._fs.exists(self._path(name))))

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises
        ------
        FileNotFoundError
            If it is absent.
        AtlasError
            If the server does not answer, or not with a size.
        """
        size = self._ask(name, lambda: self._fs.info(self._path(name)).get("size"))
        if size is None:
            raise AtlasError(f"{self.where(name)}: the server does not tell its size.")
        return int(size)

    def read_bytes(self, name: str) -> bytes:
        """All bytes of a file.

        Raises
        ------
        FileNotFoundError
            If it is absent.
        AtlasError
            If the server does not answer.
        """
        return bytes(self._ask(name, lambda: self._fs.cat_file(self._path(name))))

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Bytes of each range, in their order, up to `REQUESTS_AT_ONCE` requests at a time.

        A server that ignores ranges sends whole files; they are cut here.

        Raises
        ------
        FileNotFoundError
            If a file is absent.
        AtlasError
            If a file ends before its range does, or the server does not answer.
        """
        if not ranges:
            return []
        names, starts, stops = (list(column) for column in zip(*ranges, strict=True))
        found = self._cat_ranges([self._path(name) for name in names], starts, stops)
        return [
            self._cut(wanted, data if isinstance(data, bytes) else self._again(wanted))
            for wanted, data in zip(ranges, found, strict=True)
        ]

    def zarr_store(self, folder: str) -> Store:
        """Zarr store of a folder below this one, read-only."""
        from zarr.storage import FsspecStore  # noqa: PLC0415 - slow, and seldom needed

        options = _with_timeout(get_protocol(self.name), self._options)
        return FsspecStore.from_url(
            f"{self.name}/{folder}", storage_options=options, read_only=True
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _cat_ranges(self, paths: list[str], starts: list[int], stops: list[int]) -> list[Any]:
        limits = {"batch_size": REQUESTS_AT_ONCE} if self._fs.async_impl else {}
        found: list[Any] = self._fs.cat_ranges(paths, starts, stops, on_error="return", **limits)
        return found

    def _again(self, wanted: ByteRange) -> bytes:
        name, start, stop = wanted
        return bytes(self._ask(name, lambda: self._fs.cat_file(self._path(name), start, stop)))

    def _cut(self, wanted: ByteRange, data: bytes) -> bytes:
        name, start, stop = wanted
        if len(data) > stop - start:
            data = data[start:stop]
        check_length(data, stop - start, self.where(name))
        return data

    def _ask(self, name: str, question: Callable[[], T]) -> T:
        """Answer of the server; what may pass is tried again."""
        for attempt in range(ATTEMPTS):
            try:
                return question()
            except Exception as error:
                if _is_absence(error):
                    raise
                if attempt == ATTEMPTS - 1 or not _may_pass(error):
                    raise self._failed(name, error, attempt + 1) from error
                time.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError("a last attempt returns or raises")

    def _failed(self, name: str, error: Exception, attempts: int) -> AtlasError:
        fault = error.__cause__ if isinstance(error, FileNotFoundError) else error
        reason = f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
        return AtlasError(
            f"{self.where(name)} cannot be read ({reason}; attempts: {attempts}). Check the URL, "
            "the network and your permission, or copy the atlas once: peakatlas atlas mirror."
        )


def _with_timeout(protocol: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if protocol not in ("http", "https") or "client_kwargs" in options:
        return dict(options)
    # fsspec's own limit is on the whole transfer, which fails a large file on a slow line.
    timeout = import_module("aiohttp").ClientTimeout(
        total=None, sock_connect=STALL_S, sock_read=STALL_S
    )
    return {**options, "client_kwargs": {"timeout": timeout}}


def _is_absence(error: Exception) -> bool:
    """Whether a file is absent; fsspec says so as well of a server that does not answer."""
    cause = error.__cause__
    unanswered = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return isinstance(error, FileNotFoundError) and not unanswered


def _may_pass(error: Exception) -> bool:
    """Whether asking again may help: not after a refusal."""
    status = getattr(error, "status", None)
    refused = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
    return not refused and not isinstance(error, PermissionError | NotImplementedError)
