import pytest

from peakatlas.engine.genome import open_genome
from tests.atlas_tools import write_toy_genome


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def genome(tmp_path):
    return open_genome(write_toy_genome(tmp_path / "toy.fa", {"chr1": 50_000, "chr2": 50_000}))
