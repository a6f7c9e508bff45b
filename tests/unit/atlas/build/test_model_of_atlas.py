"""What an atlas says of its model is shown before anything is fetched."""

import warnings

import pytest

from peakatlas.atlas.build.model_of_atlas import own_embedder
from peakatlas.engine.embedder import Embedder
from tests.atlas_tools import toy_spec

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def asked(monkeypatch):
    """What was loaded, and what had been shown by then."""
    calls = []
    shown = []
    monkeypatch.setattr(warnings, "warn", lambda text, stacklevel=1: shown.append(text))
    monkeypatch.setattr(
        Embedder, "for_spec", lambda spec, **options: calls.append((options, list(shown)))
    )
    return calls


def test_a_hub_id_of_an_atlas_is_shown_first(asked):
    own_embedder(toy_spec(model="evil/model"), {"source": "evil/model", "revision": COMMIT})
    ((options, shown),) = asked
    assert (options["model"], options["revision"]) == ("evil/model", COMMIT)
    assert shown == [
        f"the atlas says that its model is 'evil/model' at revision {COMMIT}; it is loaded from "
        "there, and fetched first unless it is a folder or in the cache. Give --model to take "
        "another copy."
    ]


def test_so_is_the_name_in_the_spec_when_there_is_no_other(asked):
    own_embedder(toy_spec(model="evil/model"), {})
    assert "'evil/model'" in asked[0][1][0]


@pytest.mark.parametrize(
    ("spec", "model"), [(toy_spec(model="evil/model"), "mine"), (toy_spec(model="peaklm-v3"), None)]
)
def test_what_the_user_names_or_ships_with_the_package_is_not(asked, spec, model):
    own_embedder(spec, {"source": "evil/model"}, model=model)
    ((options, shown),) = asked
    assert options["model"] == (model or "peaklm-v3")
    assert shown == []
