"""One world, one atlas and one trained bundle for all tests of the classifier."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cell_tools import DIM, WIDTH, World, types_of

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.build.writer import AtlasWriter
from peakatlas.atlas.format.schema import EMBEDDED
from peakatlas.classifier.train import train
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec


def toy_spec(model: str = "toy", weights: str = "0" * 64) -> EmbeddingSpec:
    return EmbeddingSpec(
        model=model,
        weights_sha256=weights,
        tokenizer_sha256="1" * 64,
        dim=DIM,
        window="centre:60",
    )


def write_atlas(path: Path, world: World, spec: EmbeddingSpec) -> Atlas:
    n = len(world.start)
    intervals = Intervals.from_columns(["chr1"] * n, world.start, world.start + WIDTH)
    writer = AtlasWriter.create(path, intervals, spec, genome={"name": "toy.fa"}, model={})
    digests = np.random.default_rng(0).integers(0, 256, (n, 16)).astype(np.uint8)
    state = np.full(n, EMBEDDED, np.uint8)
    writer.write_shard(0, world.values, digests, np.zeros(n, np.float32), state)
    writer.finalise()
    return Atlas.open(path)


@pytest.fixture(scope="session")
def world() -> World:
    return World.draw()


@pytest.fixture(scope="session")
def atlas(world, tmp_path_factory) -> Atlas:
    return write_atlas(tmp_path_factory.mktemp("atlas") / "toy.zarr", world, toy_spec())


@pytest.fixture(scope="session")
def other_atlas(world, tmp_path_factory) -> Atlas:
    return write_atlas(
        tmp_path_factory.mktemp("atlas") / "other.zarr", world, toy_spec("other", "2" * 64)
    )


@pytest.fixture(scope="session")
def reference(world):
    return world.cells(types_of(60), seed=1)


@pytest.fixture(scope="session")
def bundle(reference, atlas):
    return train(reference, "cell_type", atlas, seed=0)
