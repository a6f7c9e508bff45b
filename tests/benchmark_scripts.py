"""Scripts of ``benchmarks/`` as modules; they find their neighbours by bare names."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from doc_blocks import ROOT

if TYPE_CHECKING:
    from types import ModuleType


def benchmark_script(name: str) -> ModuleType:
    """Import a script by its name without the suffix; the search path stays as it was."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
