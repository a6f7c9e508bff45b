"""What tests of several rooms share: toy models, and a cache folder that is not the user's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def cache_home(tmp_path_factory):
    """Decompressed FASTA files and indexes go to a folder of the test run."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def toy_esm(tmp_path_factory) -> Path:
    """A random ESM with rotary positions."""
    from toy_models import write_toy_esm  # noqa: PLC0415 (torch and transformers are slow)

    return write_toy_esm(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="session")
def toy_absolute(tmp_path_factory) -> Path:
    """A random ESM with learnt positions, as Nucleotide Transformer v1."""
    from toy_models import write_toy_esm  # noqa: PLC0415

    return write_toy_esm(tmp_path_factory.mktemp("models") / "absolute", rotary=False)


@pytest.fixture(scope="session")
def toy_glu(tmp_path_factory) -> Path:
    """A random Nucleotide Transformer v2."""
    from toy_models import write_toy_glu  # noqa: PLC0415

    return write_toy_glu(tmp_path_factory.mktemp("models") / "glu")


@pytest.fixture(scope="session")
def toy_peaklm(tmp_path_factory) -> Path:
    """A random model of the shipped model's family."""
    from toy_models import write_toy_peaklm  # noqa: PLC0415

    return write_toy_peaklm(tmp_path_factory.mktemp("models") / "peaklm")
