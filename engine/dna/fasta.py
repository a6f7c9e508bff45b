"""Random access to the records of one FASTA file."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import GenomeError
from peakatlas.engine.gzip_stream import copy_gunzipped, is_gzip
from peakatlas.engine.intervals.text_files import not_readable, read_fault

from .fasta_index import FastaIndex, UntidyFastaError, index_fasta, read_fai, write_tidy
from .genome_cache import PART, alone, read_texts, write_texts, written_whole
from .sequences import Sequences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_INDEX, _COPY_INDEX = ".tidy.fai", ".copy.fai"
_NAMES_PYFAIDX_REFUSES = (".gz", ".bgz", ".bz2", ".zip")
_LEFT_OVER_S = 86_400.0
"""Age at which a part of a file belongs to nobody any more."""
_FAI_FIELDS = 5
_DIGEST_BLOCK_BP = 1 << 24
_GAP = ord("\n")
_CARRIAGE_RETURN = ord("\r")


class IndexedFasta:
    """A FASTA file (plain, BGZF or gzip, told by content) with its index.

    A compressed file is decompressed once into the cache folder, ``$XDG_CACHE_HOME/peakatlas``
    (default ``~/.cache/peakatlas``), under a key of path, size and time of change; the index is
    kept there as well, so the folder of the FASTA may be read-only. So is a tidy copy of a file
    whose lines differ in length, or hold blanks or comments. Files in the cache appear whole or
    not at all, so several processes may open the same FASTA at once.

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
        if fault := not_readable(self.path):
            raise GenomeError(fault)
        if not self.path.is_file():
            raise GenomeError(f"{self.path}: a pipe; a FASTA is read in many places. Give a file.")
        plain, index = self._indexed()
        self.sizes: dict[str, int] = dict(zip(index.names, index.size.tolist(), strict=True))
        beside = Path(f"{self.path}.fai")
        if beside.is_file():
            self._check_against(beside)
        self._offset, self._line, self._line_bytes = (
            index.offset, index.line, index.line_bytes
        )  # fmt: skip
        # a plain view: each slice of a memmap costs as much as reading hundreds of letters
        self._bytes: NDArray[np.uint8] = np.asarray(np.memmap(plain, np.uint8, "r"))

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
        if len(letters) != int((end - start).sum()):
            raise GenomeError(
                f"{self.path.name}: {len(letters):,} bases where {int((end - start).sum()):,} were "
                "asked for. The file was changed while it was read; start again."
            )
        return Sequences.from_lengths(letters, end - start)

    def refget_digests(self, names: Iterable[str]) -> dict[str, str]:
        """GA4GH refget digest of whole records; kept in the cache, as reading a genome takes long.

        Parameters
        ----------
        names : iterable of str
            Names of records.
        """
        wanted, path = list(names), self._cached(".digests.json")
        kept = read_texts(path)
        rows = {name: row for row, name in enumerate(self.sizes)}
        made = {
            name: self._digest(rows[name], self.sizes[name]) for name in wanted if name not in kept
        }
        if made:
            write_texts(path, made)
        return {name: (kept | made)[name] for name in wanted}

    def _digest(self, record: int, size: int) -> str:
        """``SQ.`` + sha512t24u of one whole record of `size` bp.

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

    def _indexed(self) -> tuple[Path, FastaIndex]:
        """The file that letters are read from, and where they lie in it.

        Made by one process for all: the others wait for it.
        """
        found = self._found()
        if found is not None:
            return found
        with alone(self._cached(".lock")) as is_alone:
            found = self._found()
            if found is not None:
                return found
            if is_alone:
                _sweep(self._cached("").name)
            return self._made()

    def _found(self) -> tuple[Path, FastaIndex] | None:
        """What the cache has: the index of the file, or of a copy with that copy."""
        copy = self._cached(".fa")
        for plain, suffix in ((self.path, _INDEX), (copy, _COPY_INDEX)):
            index = read_fai(self._cached(suffix), plain)
            if index is not None:
                return plain, index
        return None

    def _made(self) -> tuple[Path, FastaIndex]:
        copy = self._cached(".fa")
        copy.unlink(missing_ok=True)
        index = self._made_index(copy)
        self._check_records(index)
        plain, suffix = (copy, _COPY_INDEX) if copy.exists() else (self.path, _INDEX)
        with written_whole(self._cached(suffix)) as out:
            out.write(index.to_text().encode())
        return plain, index

    def _made_index(self, copy: Path) -> FastaIndex:
        """Index of the file as it lies if it is plain and tidy, else of a copy of it."""
        if is_gzip(self.path):
            with written_whole(copy) as out:
                self._decompress(out)
        elif self.path.name.lower().endswith(_NAMES_PYFAIDX_REFUSES):
            with written_whole(copy) as out, self.path.open("rb") as source:
                shutil.copyfileobj(source, out)
        plain = copy if copy.exists() else self.path
        if plain.stat().st_size == 0:
            raise GenomeError(f"{self.path.name}: the file is empty. Give a FASTA file.")
        try:
            return index_fasta(plain)
        except UntidyFastaError:
            with written_whole(copy) as out, plain.open("rb") as source:
                write_tidy(source, out, self.path.name)
        return index_fasta(copy)

    def _decompress(self, out: IO[bytes]) -> None:
        try:
            copy_gunzipped(self.path, out)
        except (EOFError, OSError, zlib.error) as fault:
            raise GenomeError(f"{self.path.name}: {read_fault(fault)}") from fault

    def _cached(self, suffix: str) -> Path:
        status = self.path.stat()
        identity = f"{self.path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
        key = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        return cache_folder() / (key + suffix)

    def _check_records(self, index: FastaIndex) -> None:
        name = self.path.name
        if not index.names:
            raise GenomeError(f"{name}: no record in the file. Give a FASTA file.")
        sizes = dict(zip(index.names, index.size.tolist(), strict=True))
        if "" in sizes or any("\ufffd" in record for record in sizes):
            raise GenomeError(f"{name}: a record has no name that can be read. Mend its header.")
        if len(sizes) < len(index.names):
            twice, _ = Counter(index.names).most_common(1)[0]
            raise GenomeError(f"{name}: record {twice!r} occurs more than once. Keep one of them.")
        empty = [record for record, size in sizes.items() if size == 0]
        if empty:
            raise GenomeError(
                f"{name}: record {empty[0]!r} has no bases ({len(empty)} such record(s)): the file "
                "is truncated or damaged. Fetch it again."
            )

    def _check_against(self, beside: Path) -> None:
        """A .fai made from the whole file shows that bases are missing now."""
        for line in beside.read_text("utf-8", "replace").split("\n"):
            name, size, *rest = [*line.split("\t"), ""]
            if (
                len(rest) >= _FAI_FIELDS - 2
                and size.isascii()
                and size.isdigit()
                and self.sizes.get(name, 0) < int(size)
            ):
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
    try:
        folder = (Path(root) if root else Path.home() / ".cache") / "peakatlas"
    except RuntimeError as fault:  # a user without a name, as in containers
        raise GenomeError(
            f"no folder for the cache is known ({fault}). Set XDG_CACHE_HOME to a folder that can "
            "be written to."
        ) from fault
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise GenomeError(
            f"{folder}: the cache folder cannot be made ({fault.strerror}). "
            "Set XDG_CACHE_HOME to a folder that can be written to."
        ) from fault
    return folder


def _sweep(key: str) -> None:
    """Remove parts of files that processes which were killed left: of a key, and old ones."""
    for part in cache_folder().glob(f"*{PART}"):
        with contextlib.suppress(OSError):
            if part.name.startswith(key) or time.time() - part.stat().st_mtime > _LEFT_OVER_S:
                part.unlink()
