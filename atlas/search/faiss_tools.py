"""FAISS: found, or a clear error; on a GPU where it sees one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from peakatlas.engine.errors import MissingDependencyError

if TYPE_CHECKING:
    from types import ModuleType

FaissIndex: TypeAlias = Any  # faiss ships no types
FaissSelector: TypeAlias = Any


def import_faiss() -> ModuleType:
    """The package faiss.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import faiss  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            "this search needs faiss: install peakatlas[cpu], or peakatlas[gpu] on a CUDA "
            "machine (never both)."
        ) from error
    return faiss


def on_gpu(index: FaissIndex) -> FaissIndex:
    """The index on all GPUs that FAISS sees, or as it is where there is none; untested on one."""
    faiss = import_faiss()
    return faiss.index_cpu_to_all_gpus(index) if faiss.get_num_gpus() else index
