"""JSON of others: bounded, and of exactly the types that its model states."""

import json

import pytest

from peakatlas.engine.documents import (
    MOST_DEPTH,
    Count,
    Document,
    Sha256,
    parse_object,
    read_document,
)
from peakatlas.engine.errors import AtlasError, BundleError


class Card(Document):
    name: str
    n: Count = 0
    sha256: Sha256 = "0" * 64


def read(text, **options):
    return read_document(text.encode(), Card, "card.json", AtlasError, **options)


def test_what_fits_the_model_is_read_and_other_keys_are_left_out():
    card = read('{"name": "a", "n": 3, "later": [1]}')
    assert (card.name, card.n, card.sha256) == ("a", 3, "0" * 64)
    assert not hasattr(card, "later")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "card.json is not JSON"),
        ("[1]", "does not hold a JSON object"),
        ('{"name": NaN}', "NaN is not a number of JSON"),
        ('{"name": 1}', r"card.json cannot be used: Expected `str`, got `int` - at `\$.name`"),
        ("{}", "missing required field `name`"),
        ('{"name": "a", "n": -1}', "Expected `int` >= 0"),
        ('{"name": "a", "n": true}', "Expected `int`, got `bool`"),
        ('{"name": "a", "n": 1.0}', "Expected `int`, got `float`"),
        ('{"name": "a", "n": ' + "9" * 30 + "}", "Expected `int`"),
        ('{"name": "a", "n": ' + "9" * 9999 + "}", "is not JSON"),
        ('{"name": "a", "sha256": "' + "A" * 64 + '"}', "a text of another form .*sha256"),
        ('{"name": "a", "sha256": "' + "a" * 64 + '\\n"}', "a text of another form .*sha256"),
        ('{"name": ' + "[" * 10**6 + "]" * 10**6 + "}", "is not JSON|levels of JSON"),
    ],
)
def test_what_does_not_fit_is_refused_naming_the_place(text, said):
    with pytest.raises(AtlasError, match=said):
        read(text)


def test_length_depth_and_number_are_bounded():
    with pytest.raises(AtlasError, match="holds 1,100,002 objects and lists"):
        read('{"a": [' + "{}," * 1_100_000 + "1]}")
    with pytest.raises(BundleError, match="x has 9 bytes; such a document has 8 at most"):
        parse_object(b'{"a": 12}', "x", BundleError, most=8)
    for depth, good in ((MOST_DEPTH - 1, True), (MOST_DEPTH, False)):
        values = json.loads('{"a": ' + "[" * depth + "]" * depth + "}")
        if good:
            assert parse_object(json.dumps(values).encode(), "x", BundleError) == values
        else:
            with pytest.raises(BundleError, match="more than 32 levels"):
                parse_object(json.dumps(values).encode(), "x", BundleError)
