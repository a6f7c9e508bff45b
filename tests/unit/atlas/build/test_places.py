"""Where an atlas may be written."""

import pytest

from peakatlas.atlas.build.places import refuse_foreign
from peakatlas.engine.errors import AtlasError


def test_an_atlas_is_not_written_into_another(tmp_path):
    (tmp_path / "a.zarr" / "segment-0").mkdir(parents=True)
    (tmp_path / "a.zarr" / "segment-0" / "plan.json").write_text("{}")
    for inside in ("b.zarr", "segment-0/b.zarr"):
        with pytest.raises(AtlasError, match=r"b\.zarr lies inside the atlas .*a\.zarr\."):
            refuse_foreign(tmp_path / "a.zarr" / inside)
    refuse_foreign(tmp_path / "a.zarr")
    refuse_foreign(tmp_path / "b.zarr")
