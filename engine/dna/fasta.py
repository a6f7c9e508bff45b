"""Random access to the records of one FASTA file."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from pyfaidx import Faidx

from peakatlas.engine.errors import GenomeError

from .gzip_stream import copy_gunzipped, is_gzip
from .sequences import Sequences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NAMES_PYFAIDX_REFUSES = (".gz", ".bgz", ".bz2", ".zip")
_DIGEST_BLOCK_BP = 1 << 24
_GAP = ord("\n")
_CARRIAGE_RETURN = ord("\r")


class IndexedFasta:
    """A FASTA file (plain, BGZF or gzip, told by content) with its index.

    A compressed file is decompressed once into the cache folder, ``$XDG_CACHE_HOME/peakatlas``
    (default ``~/.cache/peakatlas``), under a key of path, size and time of change; the index is
    kept there as well, so the folder of the FASTA may be read-only. Files in the cache appear
    whole or not at all, so several processes may open the same FASTA at once.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    GenomeError
        If the file is absent, empty, truncated or not FASTA.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        plain = self._plain_file()
        _check_text(plain, self.path)
        index = _read_index(plain, self._cached(".fai"), self.path.name)
        self.sizes: dict[str, int] = {name: record[0] for name, record in index.items()}
        self._offset, self._line, self._line_bytes = (
            np.array([record[field] for record in index.values()], np.int64) for field in (1, 2, 3)
        )
        self._check_sizes(plain)
        self._bytes: NDArray[np.uint8] = np.memmap(plain, np.uint8, "r")

    def fetch(
        self, record: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> Sequences:
        """Letters ``start:end`` of records by their position in the file, upper case.

        Parameters
        ----------
        record, start, end : int64, shape (n,)
            Bounds in bp, within the record.

        Returns
        -------
        Sequences
        """
        if not len(record):
            return Sequences.from_lengths(np.empty(0, np.uint8), [])
        first = self._byte(record, start).tolist()
        past = (self._byte(record, np.maximum(end - 1, start)) + (end > start)).tolist()
        raw = np.concatenate([self._bytes[a:b] for a, b in zip(first, past, strict=True)])
        letters = raw[(raw != _GAP) & (raw != _CARRIAGE_RETURN)]
        return Sequences.from_lengths(letters, end - start)

    def refget_digest(self, record: int, size: int) -> str:
        """GA4GH refget digest of one whole record of `size` bp: ``SQ.`` + sha512t24u.

        References
        ----------
        GA4GH refget sequences v2.0: SHA-512 of the upper-case letters, first 24 bytes, base64url.
        """
        sha = hashlib.sha512()
        for start in range(0, size, _DIGEST_BLOCK_BP):
            end = min(start + _DIGEST_BLOCK_BP, size)
            sha.update(
                self.fetch(*(np.array([v], np.int64) for v in (record, start, end))).data.tobytes()
            )
        return "SQ." + base64.urlsafe_b64encode(sha.digest()[:24]).decode("ascii")

    def _byte(self, record: NDArray[np.int64], base: NDArray[np.int64]) -> NDArray[np.int64]:
        line = base // self._line[record]
        within = base - line * self._line[record]
        where: NDArray[np.int64] = self._offset[record] + line * self._line_bytes[record] + within
        return where

    def _plain_file(self) -> Path:
        if not self.path.is_file():
            raise GenomeError(f"{self.path}: no such file. Check the path.")
        gzipped = is_gzip(self.path)
        if not gzipped and not self.path.name.lower().endswith(_NAMES_PYFAIDX_REFUSES):
            return self.path
        cached = self._cached(".fa")
        if not cached.exists():
            with _written_whole(cached) as out:
                if gzipped:
                    self._decompress(out)
                else:
                    with self.path.open("rb") as plain:
                        shutil.copyfileobj(plain, out)
        return cached

    def _decompress(self, out: IO[bytes]) -> None:
        try:
            copy_gunzipped(self.path, out)
        except (EOFError, zlib.error) as fault:
            raise GenomeError(
                f"{self.path.name}: truncated or damaged gzip data ({fault}). Fetch the file again."
            ) from fault

    def _cached(self, suffix: str) -> Path:
        status = self.path.stat()
        identity = f"{self.path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
        key = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        return cache_folder() / (key + suffix)

    def _check_sizes(self, plain: Path) -> None:
        empty = [name for name, size in self.sizes.items() if size == 0]
        if empty:
            raise GenomeError(
                f"{self.path.name}: record {empty[0]!r} has no bases ({len(empty)} such "
                "record(s)): the file is truncated or damaged. Fetch it again."
            )
        beside = Path(f"{self.path}.fai")
        if plain == self.path and beside.is_file():
            self._check_against(beside)

    def _check_against(self, beside: Path) -> None:
        """A .fai made from the whole file shows that bases are missing now."""
        for line in beside.read_text().splitlines():
            name, size = [*line.split("\t"), ""][:2]
            if size.isdigit() and self.sizes.get(name, 0) < int(size):
                raise GenomeError(
                    f"{self.path.name}: {name} has {self.sizes.get(name, 0)} bp, its index "
                    f"{beside.name} says {size}. The FASTA is truncated; fetch it again, "
                    "or remove an outdated index."
                )


def cache_folder() -> Path:
    """Folder for decompressed FASTA files and indexes; created when absent.

    Raises
    ------
    GenomeError
        If it cannot be written to.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(root) if root else Path.home() / ".cache") / "peakatlas"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise GenomeError(
            f"{folder}: the cache folder cannot be made ({fault.strerror}). "
            "Set XDG_CACHE_HOME to a folder that can be written to."
        ) from fault
    return folder


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when the block ends well."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as out:
        try:
            yield out
            out.flush()
            Path(out.name).replace(path)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise


def _check_text(plain: Path, path: Path) -> None:
    """Refuse what cannot be a whole FASTA file by its first and last bytes."""
    size = plain.stat().st_size
    with plain.open("rb") as file:
        head = file.read(1)
        file.seek(max(size - 1, 0))
        tail = file.read(1)
    if size == 0:
        raise GenomeError(f"{path.name}: the file is empty. Give a FASTA file.")
    if head not in b">;\n\r":
        raise GenomeError(
            f"{path.name}: not a FASTA file, it begins with {head!r} instead of '>'. "
            "Give a FASTA, plain, BGZF or gzip."
        )
    if tail != b"\n":
        raise GenomeError(
            f"{path.name}: truncated FASTA, it ends in the middle of a line. Fetch the file "
            "again; if it is whole, end it with a newline."
        )


def _read_index(plain: Path, index: Path, name: str) -> dict[str, tuple[int, int, int, int]]:
    """Length (bp), byte offset, bases a line and bytes a line of each record, by name."""
    try:
        if not index.exists():
            with tempfile.TemporaryDirectory(dir=index.parent) as folder:
                made = Path(folder) / index.name
                Faidx(str(plain), indexname=str(made)).close()
                made.replace(index)
        faidx = Faidx(str(plain), indexname=str(index), rebuild=False)
    except Exception as fault:
        raise GenomeError(f"{name}: cannot be indexed as FASTA: {fault}") from fault
    faidx.close()
    return {key: (r.rlen, r.offset, max(r.lenc, 1), r.lenb) for key, r in faidx.index.items()}
