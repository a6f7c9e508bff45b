import pytest

from peakatlas.engine.dna.genome import open_genome
from tests.atlas_tools import write_toy_genome
from tests.s3_server import s3_bucket


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    return open_genome(write_toy_genome(path, {"chr1": 50_000, "chr2": 50_000}))


@pytest.fixture(scope="module")
def server():
    """URL of a bucket of a local S3 server."""
    with s3_bucket() as url:
        yield url
