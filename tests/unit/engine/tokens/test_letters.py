"""Six letters a token: every base is read, an unknown one hides itself only."""

import numpy as np

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.tokens.letters import (
    N_TOKENS,
    LetterTokenizer,
    letter_codes,
    token_ids,
    token_letters,
)


def spelt(strings):
    tokenizer = LetterTokenizer()
    tokens = tokenizer.encode(Sequences.from_strings(strings))
    return [[tokenizer.vocab[i] for i in tokens[row]] for row in range(len(tokens))]


def test_every_base_is_read_and_the_last_token_filled_up():
    assert spelt(["ACGTAC", "ACGTACG", "acgtryn", "", "T"]) == [
        ["ACGTAC"],
        ["ACGTAC", "GNNNNN"],
        ["ACGTNN", "NNNNNN"],
        ["NNNNNN"],
        ["TNNNNN"],
    ]


def test_ids_are_numbers_in_base_5():
    tokenizer = LetterTokenizer()
    assert len(tokenizer.vocab) == N_TOKENS == 5**6
    assert tokenizer.vocab[0] == "AAAAAA"
    assert tokenizer.vocab[-1] == "NNNNNN"
    letters = token_letters()
    np.testing.assert_array_equal(token_ids(letters), np.arange(N_TOKENS))
    assert "".join("ACGTN"[code] for code in letters[1234]) == tokenizer.vocab[1234]


def test_a_token_counts_with_three_known_letters():
    tokenizer = LetterTokenizer()
    real = dict(zip(tokenizer.vocab, tokenizer.real, strict=True))
    assert real["ACGNNN"]
    assert real["NANCNG"]
    assert not real["ACNNNN"]
    assert not real["NNNNNN"]


def test_codes_ignore_case():
    assert letter_codes(np.frombuffer(b"ACGTNacgtR-", np.uint8)).tolist() == [
        0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4,
    ]  # fmt: skip
