"""Token ids against transformers' EsmTokenizer, the reference implementation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import EsmTokenizer

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.errors import ModelError
from peakatlas.engine.tokens.kmer import KmerTokenizer, kmer_vocabulary

TOKENIZER = KmerTokenizer(kmer_vocabulary(6))

runs = st.one_of(
    st.text("ACGT", max_size=40),
    st.text("N", max_size=9),
    st.text("RYKMSWBDHV-", max_size=4),
    st.text("acgtn", max_size=20),
)
dna = st.lists(runs, max_size=8).map("".join)


@pytest.fixture(scope="module")
def hf_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> EsmTokenizer:
    vocab = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    vocab.write_text("\n".join(kmer_vocabulary(6)) + "\n")
    return EsmTokenizer(str(vocab), eos_token=None)


@settings(max_examples=60, deadline=None)
@given(st.lists(dna, max_size=6))
def test_ids_equal_esm_tokenizer_on_upper_case_dna(
    hf_tokenizer: EsmTokenizer, strings: list[str]
) -> None:
    tokens = TOKENIZER.encode(Sequences.from_strings(strings))
    assert len(tokens) == len(strings)
    for row, string in enumerate(strings):
        assert tokens[row].tolist() == hf_tokenizer(string.upper())["input_ids"]


def test_ten_thousand_bases_equal_esm_tokenizer(hf_tokenizer: EsmTokenizer) -> None:
    letters = np.random.default_rng(0).choice(list("ACGTN"), p=[0.24] * 4 + [0.04], size=10_000)
    string = "".join(letters)
    tokens = TOKENIZER.encode(Sequences.from_strings([string]))
    assert tokens[0].tolist() == hf_tokenizer(string)["input_ids"]


def test_an_n_shifts_the_frame_and_a_tail_is_single_bases() -> None:
    tokens = TOKENIZER.encode(Sequences.from_strings(["ACGTACGTNAAAAAA", "RRACGTACR", ""]))
    named = [[TOKENIZER.vocab[i] for i in tokens[row]] for row in range(3)]
    assert named == [
        ["<cls>", "ACGTAC", "G", "T", "N", "AAAAAA"],
        ["<cls>", "<unk>", "ACGTAC", "<unk>"],
        ["<cls>"],
    ]
    assert tokens.lengths.tolist() == [6, 4, 1]


def test_vocabulary_has_the_nucleotide_transformer_order() -> None:
    vocab = kmer_vocabulary(6)
    assert len(vocab) == 4105
    assert vocab[:6] == ["<unk>", "<pad>", "<mask>", "<cls>", "AAAAAA", "AAAAAT"]
    assert vocab[-5:] == ["A", "T", "C", "G", "N"]


def test_incomplete_vocabulary_is_refused() -> None:
    vocab = [token for token in kmer_vocabulary(3) if token not in ("ACG", "N")]
    with pytest.raises(ModelError, match=r"2 of 73 tokens for k=3 are absent.*'N', 'ACG'"):
        KmerTokenizer(vocab)


def test_directory_without_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"vocab\.txt does not exist"):
        KmerTokenizer.from_directory(tmp_path)


def test_digest_depends_on_the_order_of_tokens() -> None:
    vocab = kmer_vocabulary(2)
    assert KmerTokenizer(vocab).digest == KmerTokenizer(list(vocab)).digest
    assert KmerTokenizer(vocab).digest != KmerTokenizer(vocab[::-1]).digest


def test_masked_rule_keeps_the_frame_and_hides_unknown_letters() -> None:
    tokenizer = KmerTokenizer(kmer_vocabulary(3), "mask")
    tokens = tokenizer.encode(Sequences.from_strings(["ACGNACTTTAC", "AC", "", "RRRGGG"]))
    named = [[tokenizer.vocab[i] for i in tokens[row]] for row in range(4)]
    assert named == [
        ["<cls>", "ACG", "<mask>", "TTT"],
        ["<cls>"],
        ["<cls>"],
        ["<cls>", "<mask>", "GGG"],
    ]


@given(st.lists(st.text("ACGT", max_size=60).map(lambda s: s[: len(s) // 6 * 6]), max_size=5))
def test_both_rules_agree_on_whole_kmers(strings: list[str]) -> None:
    dna = Sequences.from_strings(strings)
    masked = KmerTokenizer(kmer_vocabulary(6), "mask").encode(dna)
    split = TOKENIZER.encode(dna)
    assert masked.ids.tolist() == split.ids.tolist()
    assert masked.offsets.tolist() == split.offsets.tolist()


def test_rule_is_read_from_the_model_directory_and_is_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(kmer_vocabulary(2)))
    plain = KmerTokenizer.from_directory(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"partial_kmers": "mask"}')
    masked = KmerTokenizer.from_directory(tmp_path)
    assert (plain.partial_kmers, masked.partial_kmers) == ("split", "mask")
    assert plain.digest != masked.digest
    (tmp_path / "tokenizer_config.json").write_text('{"partial_kmers": "drop"}')
    with pytest.raises(ModelError, match="partial_kmers is 'drop', not one of split, mask"):
        KmerTokenizer.from_directory(tmp_path)
