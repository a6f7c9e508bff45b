"""The embedder against a naive version with Hugging Face's tokenizer and model."""

import json

import numpy as np
import pytest
import torch
from transformers import EsmModel, EsmTokenizer

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.dna.windows import window_digests
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ContigError, GenomeError, ModelError, SpecMismatchError
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.intervals.table import Intervals


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(3)
    dna = rng.choice(list("ACGT"), 4000)
    dna[1000:1700] = "N"
    dna[2000:2010] = "N"
    path = tmp_path / "g.fa"
    path.write_text(">chr1\n" + "".join(dna) + "\n>chr2\n" + "".join(dna[:300]) + "\n")
    return open_genome(path)


@pytest.fixture(scope="module")
def embedder(toy_esm):
    return Embedder.load(str(toy_esm), precision="fp32", window="centre:120")


def naive(path, text, pooling="mean"):
    tokenizer = EsmTokenizer(str(path / "vocab.txt"), cls_token="<cls>", eos_token=None)
    names = ["<cls>", *tokenizer.tokenize(text)]
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(names)])
    model = EsmModel.from_pretrained(path, add_pooling_layer=False).eval()
    with torch.inference_mode():
        hidden = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    real = torch.tensor([name not in ("<cls>", "N", "<unk>") for name in names])
    return (hidden[real].mean(0) if pooling == "mean" else hidden[0]).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embed_equals_the_naive_version(toy_esm, source, pooling):
    embedder = Embedder.load(str(toy_esm), precision="fp32", window="centre:120", pooling=pooling)
    peaks = parse_names(["chr1:500-620", "chr1:1950-2090", "chr2:10-30", "chr1:1-9"])
    done = embedder.embed(peaks, source)
    texts = ["chr1:500-620", "chr1:1960-2080", "chr2:0-80", "chr1:0-65"]
    for row, name in enumerate(texts):
        dna = source.fetch(parse_names([name]))[0]
        np.testing.assert_allclose(done.values[row], naive(toy_esm, dna, pooling), atol=1e-5)
    np.testing.assert_allclose(done.n_fraction, [0, 10 / 120, 0, 0], rtol=1e-6)
    assert np.array_equal(done.digests, window_digests(peaks, source, "centre:120"))


def test_a_window_wider_than_its_peak_is_read_from_the_peaks_own_record(
    toy_esm, embedder, tmp_path
):
    path = tmp_path / "peaks.fa"
    own = "ACCGTATTGC" * 4
    path.write_text(f">c:40-80\n{own}\n>c:0-200\n" + "G" * 200 + "\n>c:190-230\n" + "T" * 40)
    done = embedder.embed(parse_names(["c:40-80", "c:190-230"]), open_genome(path))
    for row, dna in enumerate((own, "T" * 40)):
        np.testing.assert_allclose(done.values[row], naive(toy_esm, dna), atol=1e-5)


def test_order_and_company_do_not_change_a_byte(embedder, source):
    rng = np.random.default_rng(0)
    start = rng.integers(0, 3900, 1500)
    peaks = Intervals.from_columns(["chr1"] * 1500, start, start + rng.integers(1, 100, 1500))
    calls = []
    done = embedder.embed(peaks, source, progress=calls.append)
    order = rng.permutation(1500)[:200]
    again = embedder.embed(peaks.take(order), source)
    assert np.array_equal(again.values, done.values[order], equal_nan=True)
    assert calls == [1024, 476]


def test_tables_go_through_without_a_stop_and_come_out_in_turn(embedder, source):
    names = ["chr1:500-620", "chr1:0-9", "chr2:10-30", "chr1:40-150"]
    tables = [parse_names(names[:3]), Intervals.from_columns([], [], []), parse_names(names[3:])]
    taken, found = [], []

    def in_turn():
        for number, table in enumerate(tables):
            taken.append(number)
            yield number, table

    embedder.embed_many(in_turn(), source, lambda number, made: found.append((number, made)))
    assert taken == [0, 1, 2]
    by_number = dict(found)
    for number, table in enumerate(tables):
        expected = embedder.embed(table, source)
        assert np.array_equal(by_number[number].values, expected.values, equal_nan=True)
        assert np.array_equal(by_number[number].digests, expected.digests)


def test_a_window_of_n_only_is_a_row_of_nan(embedder, source):
    done = embedder.embed(parse_names(["chr1:1200-1300", "chr1:0-9"]), source)
    assert np.isnan(done.values[0]).all()
    assert done.masked[:2].tolist() == [True, False]
    assert not np.isnan(done.values[1]).any()
    assert done.n_fraction.tolist() == [1, 0]


def test_windows_of_a_long_peak_are_averaged_by_their_real_tokens(toy_esm, source):
    embedder = Embedder.load(str(toy_esm), precision="fp32", window="peak:120:0")
    done = embedder.embed(parse_names(["chr1:800-1160", "chr1:0-60"]), source)
    windows = [source.fetch(parse_names([n]))[0] for n in ("chr1:800-920", "chr1:920-1040")]
    first, second = (naive(toy_esm, text) for text in windows)
    # 80 known bases: 13 six-mers and 2 single bases; the third window is N only.
    expected = (first * 20 + second * 15) / 35
    np.testing.assert_allclose(done.values[0], expected, atol=1e-5)
    np.testing.assert_allclose(done.n_fraction[0], (40 + 120) / 360, rtol=1e-6)


def test_windows_richer_in_n_than_allowed_are_left_out(toy_esm, source):
    rules = {"precision": "fp32", "window": "peak:120:0"}
    every = Embedder.load(str(toy_esm), **rules, max_n_fraction=1)
    half = Embedder.load(str(toy_esm), **rules)
    # of 800-920 and 920-1040, a third of the second is N; 960-1080 has two thirds of N
    peaks = parse_names(["chr1:800-1040", "chr1:840-1080", "chr1:960-1080", "chr1:840-960"])
    kept, cut = every.embed(peaks, source), half.embed(peaks, source)
    assert np.array_equal(cut.values[0], kept.values[0])
    assert not np.array_equal(cut.values[1], kept.values[1])
    assert np.array_equal(cut.values[1], cut.values[3])
    assert np.isnan(cut.values).all(1).tolist() == [False, False, True, False]
    assert np.isfinite(kept.values).all()
    assert np.array_equal(cut.n_fraction, kept.n_fraction)


def test_both_strands_of_a_long_peak(toy_esm, source):
    rules = {"precision": "fp32", "window": "peak:120:0"}
    both = Embedder.load(str(toy_esm), **rules, strand="both")
    peaks = parse_names(["chr1:100-400", "chr1:1950-2150"])
    done = both.embed(peaks, source).values
    dna = [source.fetch(parse_names([f"chr1:{a}-{b}"])) for a, b in
           ((100, 220), (220, 340), (280, 400), (1950, 2070), (2030, 2150))]  # fmt: skip
    sides = [[naive(toy_esm, strand[0]) for strand in (text, text.reverse_complement())]
             for text in dna]  # fmt: skip
    vectors = np.array([np.mean(side, axis=0) for side in sides])
    np.testing.assert_allclose(done[0], vectors[:3].mean(0), atol=1e-5)
    # 10 N after 50 bases: 8 six-mers, 2 bases, 10 six-mers are real; the other has 20 six-mers
    np.testing.assert_allclose(done[1], vectors[3:].mean(0), atol=1e-5)


def test_an_inner_layer_is_pooled_like_the_last(toy_esm):
    text = "ACGTTGCATTGACCATAGGACATTT"
    done = Embedder.load(str(toy_esm), precision="fp32", layer=1).embed_sequences(
        Sequences.from_strings([text])
    )
    tokenizer = EsmTokenizer(str(toy_esm / "vocab.txt"), cls_token="<cls>", eos_token=None)
    names = ["<cls>", *tokenizer.tokenize(text)]
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(names)])
    model = EsmModel.from_pretrained(toy_esm, add_pooling_layer=False).eval()
    with torch.inference_mode():
        out = model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    np.testing.assert_allclose(done[0], out.hidden_states[1][0, 1:].mean(0).numpy(), atol=1e-5)


def test_for_spec_finds_the_same_model_or_says_what_differs(toy_esm, toy_glu):
    spec = Embedder.load(str(toy_esm), window="centre:60", strand="both", layer=1).spec
    assert Embedder.for_spec(spec, model=str(toy_esm)).spec == spec
    with pytest.raises(SpecMismatchError, match=r"is not the model .*weights_sha256"):
        Embedder.for_spec(spec, model=str(toy_glu))


def test_both_strands_are_the_mean_of_the_two(toy_esm):
    dna = Sequences.from_strings(["ACGTTGCATTGACCATAGGACA", "ACCAGG"])
    both = Embedder.load(str(toy_esm), strand="both")
    forward = Embedder.load(str(toy_esm))
    mean = (forward.embed_sequences(dna) + forward.embed_sequences(dna.reverse_complement())) / 2
    assert np.array_equal(both.embed_sequences(dna), mean)
    flipped = both.embed_sequences(dna.reverse_complement())
    assert np.array_equal(both.embed_sequences(dna), flipped)


def test_owner_may_come_in_any_order_and_leave_rows_empty(embedder):
    dna = Sequences.from_strings(["ACGTTT" * 4, "GGGTTT" * 4, "ACATTT" * 8])
    single = embedder.embed_sequences(dna)
    owned = embedder.embed_sequences(dna, np.array([2, 0, 2]), 4)
    assert np.array_equal(owned[0], single[1])
    np.testing.assert_allclose(owned[2], (single[0] * 4 + single[2] * 8) / 12, atol=1e-6)
    assert np.isnan(owned[[1, 3]]).all()


def test_nothing_to_embed(embedder, source):
    assert embedder.embed_sequences(Sequences.from_strings([])).shape == (0, 32)
    done = embedder.embed(Intervals.from_columns([], [], []), source)
    assert (done.values.shape, done.digests.shape, done.n_fraction.shape) == (
        (0, 32),
        (0, 16),
        (0,),
    )


def test_an_empty_sequence_is_nan(embedder):
    values = embedder.embed_sequences(Sequences.from_strings(["", "ACGT", ""]))
    assert np.isnan(values).all(1).tolist() == [True, False, True]


def test_errors_of_the_source_come_through(embedder, source):
    with pytest.raises(ContigError, match="chr9"):
        embedder.embed(parse_names(["chr9:0-5"]), source)
    with pytest.raises(GenomeError, match="ends past chr2"):
        embedder.embed(parse_names(["chr2:0-301"]), source)


def test_a_sequence_longer_than_the_context_is_refused(toy_absolute):
    embedder = Embedder.load(str(toy_absolute))
    assert embedder.card.context_tokens == 1024
    embedder.embed_sequences(Sequences.from_strings(["A" * 6 * 1023]))
    with pytest.raises(ModelError, match="one of 6144 bp is 1025 tokens, the most are 1024"):
        embedder.embed_sequences(Sequences.from_strings(["A" * 6 * 1024]))


def test_a_window_that_n_alone_make_too_long_is_masked(toy_absolute):
    embedder = Embedder.load(str(toy_absolute), max_n_fraction=1)
    rows = ["N" * 1100 + "ACGTAC", "ACGTAC"]
    values = embedder.embed_sequences(Sequences.from_strings(rows))
    assert np.isnan(values).all(axis=1).tolist() == [True, False]
    alone = embedder.embed_sequences(Sequences.from_strings(rows[1:]))
    np.testing.assert_array_equal(values[1:], alone)


def test_with_rotary_positions_n_do_not_count_against_the_context(toy_esm):
    embedder = Embedder.load(str(toy_esm), precision="fp32", max_n_fraction=1)
    assert embedder.card.context_tokens == 1026
    values = embedder.embed_sequences(Sequences.from_strings(["N" * 2000 + "ACGTAC"]))
    assert np.isfinite(values).all()
    with pytest.raises(ModelError, match="one of 6151 bp is 1027 tokens, the most are 1026"):
        embedder.embed_sequences(Sequences.from_strings(["A" * 6151]))


def test_a_layer_that_is_not_there_is_refused(toy_esm):
    with pytest.raises(ModelError, match=r"layer 2 is not -1 .* nor from 0 to 1"):
        Embedder.load(str(toy_esm), layer=2)


def test_spec_changes_with_every_option_that_changes_the_result(toy_esm):
    options = [{}, {"window": "centre:60"}, {"precision": "fp32"}, {"strand": "both"},
               {"pooling": "cls"}, {"layer": 1}, {"max_n_fraction": 1}]  # fmt: skip
    digests = [Embedder.load(str(toy_esm), **option).spec.digest for option in options]
    assert len(set(digests)) == len(options)
    assert Embedder.load(str(toy_esm), token_budget=99).spec.digest == digests[0]
    json.dumps(Embedder.load(str(toy_esm)).spec.to_json())


def test_a_centre_window_longer_than_the_model_reads_is_refused_at_once(toy_absolute):
    with pytest.raises(ModelError, match=r"of 999999 bp is \d+ tokens, the most are"):
        Embedder.load(str(toy_absolute), window="centre:999999")
    Embedder.load(str(toy_absolute), window="peak:999999:0")  # an upper bound only


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_nan_out_of_a_model_is_an_error_and_no_mask(toy_esm, source, monkeypatch, wrong):
    embedder = Embedder.load(str(toy_esm), precision="fp32", window="centre:120")
    encoder = type(embedder._model.encoder)
    hidden = encoder.hidden
    monkeypatch.setattr(encoder, "hidden", lambda *given, **more: hidden(*given, **more) * wrong)
    only_n = parse_names(["chr1:1200-1500"])
    assert embedder.embed(only_n, source).masked.tolist() == [True]
    with pytest.raises(ModelError, match="gave NaN or infinity for 1 of 1 sequences of known DNA"):
        embedder.embed(parse_names(["chr1:1200-1500", "chr1:500-620"]), source)


def test_a_strand_without_known_tokens_is_left_out(toy_esm):
    # Of seven letters, k-mers stand at the begin: N leaves no whole one on one of the strands.
    both = Embedder.load(str(toy_esm), precision="fp32", window="centre:120", strand="both",
                         max_n_fraction=0.9)  # fmt: skip
    reader, real = both._blocks._reader, both._model.real
    texts = [f"{'A' * left}N{'C' * right}" for left in range(1, 9) for right in range(1, 9)]
    sequences = Sequences.from_strings(texts)
    weights = [
        [int(real[tokens[row]].sum()) for row in range(len(texts))]
        for tokens in reader.read(sequences)
    ]
    values = both.embed_sequences(sequences)
    expected = np.array(weights).sum(axis=0) > 0
    assert np.isfinite(values).all(axis=1).tolist() == expected.tolist()
