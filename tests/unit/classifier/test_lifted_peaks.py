"""Peaks of another genome build are annotated as those of the atlas's, after a lift."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from cell_tools import WIDTH, types_of

from peakatlas.classifier.annotate import AnnotateOptions, annotate
from peakatlas.classifier.counts.registry import Sources
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.liftover import ChainFile
from peakatlas.engine.intervals.table import Intervals

SHIFT = 77


@pytest.fixture(scope="module")
def chain(world, tmp_path_factory):
    """From a build in which all lies 77 bp further on, and the last peak nowhere."""
    size = int(np.max(world.start))
    path = tmp_path_factory.mktemp("chain") / "shifted.chain"
    path.write_text(f"chain 1 chr1 9999999 + {SHIFT} {size + SHIFT} chr1 9999999 + 0 {size} 1\n")
    with path.open("a") as file:
        file.write(f"{size}\n\n")
    return path


def test_a_query_of_another_build_gets_the_same_labels(world, bundle, atlas, chain):
    query = world.cells(types_of(10), seed=7, depth=45)
    query = query[:, np.arange(query.n_vars) != np.argmax(world.start)].copy()
    shifted = query.copy()
    start = np.delete(world.start, np.argmax(world.start)) + SHIFT
    shifted.var = pd.DataFrame(index=[f"chr1:{s}-{s + WIDTH}" for s in start])
    said: list[str] = []
    plain = annotate(query, bundle, atlas)
    lifted = annotate(
        shifted, bundle, atlas, options=AnnotateOptions(chain=str(chain)), progress=said.append
    )
    assert f"shifted.chain: {len(start):,} lifted, 0 split, 0 lost" in said
    assert lifted.var_names.tolist() == shifted.var_names.tolist()
    assert set(lifted.var["peakatlas_tier"]) == {"exact"}
    for name in ("label", "confidence"):
        column = f"peakatlas_{name}"
        assert lifted.obs[column].tolist() == plain.obs[column].tolist()
    assert json.loads(lifted.uns["peakatlas"]["record"])["options"]["chain"] == str(chain)


def test_peaks_that_do_not_lift_keep_their_rows(world, atlas, chain):
    last = int(np.max(world.start))
    peaks = Intervals.from_columns(["chr1"] * 2, [last + SHIFT, SHIFT], [last + WIDTH, SHIFT + 50])
    said: list[str] = []
    named = Sources(chain=ChainFile(chain), report=said.append).named(peaks, atlas)
    assert named.names() == [f"chr1 (not lifted by shifted.chain):{peaks.names()[0][5:]}",
                             "chr1:0-50"]  # fmt: skip
    assert said == [f"shifted.chain: 1 lifted, 0 split, 1 lost ({peaks.names()[0]})"]
    tiers = atlas.lookup(named).counts()
    assert tiers["missing"] == 2 and len(named) == 2


def test_a_chain_that_lifts_nothing_is_refused(atlas, chain):
    peaks = Intervals.from_columns(["chr1"], [9_000_000], [9_000_500])
    with pytest.raises(IntervalError, match=r"0 lifted, 0 split, 1 lost .* Give the chain file"):
        Sources(chain=chain).named(peaks, atlas)


def test_lifting_without_an_atlas_and_of_another_style(chain):
    peaks = Intervals.from_columns(["1"], [SHIFT], [SHIFT + 50])
    assert Sources(chain=chain, match_contigs=True).named(peaks, None).names() == ["chr1:0-50"]
