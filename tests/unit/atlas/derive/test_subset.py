import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.derive.quantise import quantise_atlas
from peakatlas.atlas.derive.subset import subset_atlas
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import ToyEmbedder, random_intervals, write_toy_atlas


@pytest.fixture
def built(tmp_path, genome):
    """Atlas of two segments, the second on a contig of its own too."""
    out = tmp_path / "a.zarr"
    build_atlas(genome, random_intervals(40, contigs=("chr2",)), out, ToyEmbedder(), shard_rows=8)
    more = random_intervals(20, seed=7)
    append_rows(out, more, ToyEmbedder().embed(more, genome), genome={"name": "toy.fa"})
    return out


def overlapping(table, regions):
    """Rows that share a bp with a region, one by one."""
    return [
        row
        for row, (chrom, start, end) in enumerate(table.to_frame().itertuples(index=False))
        if any(
            chrom == c and start < e and s < end
            for c, s, e in regions.to_frame().itertuples(index=False)
        )
    ]


REGIONS = Intervals.from_columns(
    ["chr2", "chr1", "chr2", "chr9"], [10_000, 0, 12_000, 5], [30_000, 20_000, 13_000, 9]
)


def test_a_subset_holds_the_rows_that_overlap(built, tmp_path):
    atlas = Atlas.open(built)
    rows = np.array(overlapping(atlas.intervals, REGIONS))
    subset = subset_atlas(built, tmp_path / "s.zarr", REGIONS)
    kept = atlas.intervals.take(rows).recoded(["chr1", "chr2"])
    order = kept.genome_order()
    assert 0 < len(rows) < len(atlas)
    assert subset.intervals == kept.take(order)
    np.testing.assert_array_equal(subset.gather(np.arange(len(subset))), atlas.gather(rows[order]))
    np.testing.assert_array_equal(subset.digests, atlas.digests[rows[order]])
    np.testing.assert_array_equal(subset.n_fraction, atlas.n_fraction[rows[order]])
    kept = subset.provenance
    assert kept["derived"]["parents"][0]["manifest_sha256"] == atlas._manifest["sha256"]
    assert kept["peaks"] == {"n_regions": 4}
    assert verify_atlas(tmp_path / "s.zarr", deep=True).ok


def test_a_region_ends_before_its_end(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", Intervals.from_columns(["c", "c"], [10, 20], [20, 30]))
    for start, end, kept in [(0, 11, ["c:10-20"]), (20, 21, ["c:20-30"]), (19, 21, 2), (0, 99, 2)]:
        region = Intervals.from_columns(["c"], [start], [end])
        out = tmp_path / f"{start}-{end}.zarr"
        names = subset_atlas(tmp_path / "a.zarr", out, region).intervals.names()
        assert names == kept or len(names) == kept


def test_a_contig_without_rows_is_left_out(built, tmp_path):
    only = Intervals.from_columns(["chr2"], [0], [50_000])
    subset = subset_atlas(built, tmp_path / "s.zarr", only)
    assert subset.intervals.contigs == ("chr2",)
    assert list(subset.provenance["genome"]["contigs"]) == ["chr2"]


def test_nothing_to_keep_is_an_error(built, tmp_path):
    region = Intervals.from_columns(["2"], [0], [50_000])
    with pytest.raises(AtlasError, match=r"no row of .* overlaps the 1 region\(s\) \(2:0-50000\)"):
        subset_atlas(built, tmp_path / "s.zarr", region)
    assert not (tmp_path / "s.zarr").exists()


def test_regions_in_two_styles_are_refused(built, tmp_path):
    regions = Intervals.from_columns(["chr2", "1", "chr9"], [0, 0, 5], [50_000, 50_000, 9])
    with pytest.raises(
        AtlasError, match=r"1 contig\(s\) of the regions \(1\) follow another naming"
    ):
        subset_atlas(built, tmp_path / "s.zarr", regions)


def test_int8_codes_are_kept_as_they_are(built, tmp_path):
    quantised = quantise_atlas(built, tmp_path / "q.zarr").atlas
    subset = subset_atlas(tmp_path / "q.zarr", tmp_path / "s.zarr", REGIONS)
    rows = overlapping(quantised.intervals, REGIONS)
    np.testing.assert_array_equal(subset.gather(np.arange(len(subset))), quantised.gather(rows))
    assert subset.info()["format_version"] == "2.1"
    assert verify_atlas(tmp_path / "s.zarr", deep=True).ok


def test_a_damaged_parent_is_not_carried_over(built, tmp_path):
    shard = built / "segment-0000" / "embedding" / "c" / "1" / "0"
    data = bytearray(shard.read_bytes())
    data[3] ^= 1
    shard.write_bytes(data)
    everything = Intervals.from_columns(["chr1", "chr2"], [0, 0], [50_000, 50_000])
    with pytest.raises(AtlasError, match="embedding"):
        subset_atlas(built, tmp_path / "s.zarr", everything)
    assert not (tmp_path / "s.zarr" / "manifest.json").exists()
