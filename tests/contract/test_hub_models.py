"""Checkpoints as the hub has them, against encoders written out plainly."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_models import plain_vectors
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from toy_hub import (
    write_dnabert,
    write_grover,
    write_modernbert,
    write_nt_v1,
    write_nt_v2,
    write_remote,
)
from toy_models import packed
from transformers import BertTokenizer, EsmTokenizer

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ModelError
from peakatlas.engine.models.auto import finish_encoder, load_auto
from peakatlas.engine.models.checkpoint import read_checkpoint
from peakatlas.engine.models.hf_encoder import HfEncoder, set_precision
from peakatlas.engine.models.loading import find_model
from peakatlas.engine.models.table import MODELS
from peakatlas.engine.tokens.loading import load_tokenizer

CPU = torch.device("cpu")
WRITERS = {"nt-v1": (write_nt_v1, "esm"), "nt-v2": (write_nt_v2, "esm-glu"),
           "grover": (write_grover, "bert"), "dnabert": (write_dnabert, "bert"),
           "modernbert": (write_modernbert, "modernbert")}  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    return {name: write(folder / name) for name, (write, _) in WRITERS.items()} | {
        "remote": write_remote(folder / "remote")
    }


def dna(n=12, seed=0):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("ACGT"), (120, 61, 120, 97)[i % 4])) for i in range(n)]
    return [*texts[:-1], texts[-1][:30] + "NNNN" + texts[-1][30:]]


def plain_ids(path, name, text):
    """Ids and their names by the tokenizer's own library, one sequence."""
    if name.startswith("nt"):
        tokenizer = EsmTokenizer(str(path / "vocab.txt"), cls_token="<cls>", eos_token=None)
        names = ["<cls>", *tokenizer.tokenize(text)]
        return tokenizer.convert_tokens_to_ids(names), names
    if name == "dnabert":
        tokenizer = BertTokenizer(str(path / "vocab.txt"), do_lower_case=False)
        ids = tokenizer(" ".join(text[i : i + 3] for i in range(len(text) - 2)))["input_ids"]
        return ids, tokenizer.convert_ids_to_tokens(ids)
    encoding = Tokenizer.from_file(str(path / "tokenizer.json")).encode(text)
    return encoding.ids, encoding.tokens


@pytest.mark.parametrize("name", WRITERS)
def test_embeddings_equal_those_of_the_plain_encoder(hub, name):
    path, texts = hub[name], dna(4)
    embedder = Embedder.load(str(path), precision="fp32")
    assert find_model(str(path))[0].loader == WRITERS[name][1]
    done = embedder.embed_sequences(Sequences.from_strings(texts))
    assert done.std(0).mean() > 0.01
    for text, row in zip(texts, done, strict=True):
        ids, names = plain_ids(path, name, text)
        real = np.array([set(token) <= set("ACGT") for token in names])
        expected = plain_vectors(path, ids)[real].mean(0)
        np.testing.assert_allclose(row, expected, atol=2e-5)


@pytest.mark.parametrize("name", ["grover", "dnabert", "modernbert"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_sequence_same_bytes(hub, name, precision):
    texts = dna(11)
    embedder = Embedder.load(str(hub[name]), precision=precision)
    together = embedder.embed_sequences(Sequences.from_strings(texts))
    order = np.random.default_rng(1).permutation(len(texts))
    shuffled = embedder.embed_sequences(Sequences.from_strings([texts[i] for i in order]))
    assert np.array_equal(shuffled, together[order])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for text, row in zip(texts, together, strict=True):
                alone = embedder.embed_sequences(Sequences.from_strings([text]))
                assert np.array_equal(alone[0], row)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["grover", "modernbert", "remote"])
def test_bf16_is_close_to_fp32(hub, name):
    values = [Embedder.load(str(hub[name]), precision=p, trust_remote_code=True).embed_sequences(
        Sequences.from_strings(dna())) for p in ("bf16", "fp32")]  # fmt: skip
    np.testing.assert_allclose(*values, atol=0.05)


@pytest.mark.parametrize(("name", "layer"), [("grover", 0), ("grover", 1), ("modernbert", 2)])
def test_inner_layers_and_cls(hub, name, layer):
    inner = Embedder.load(str(hub[name]), precision="fp32", layer=layer)
    last = Embedder.load(str(hub[name]), precision="fp32")
    cls = Embedder.load(str(hub[name]), precision="fp32", pooling="cls")
    some = Sequences.from_strings(dna(3))
    values = [embedder.embed_sequences(some) for embedder in (inner, last, cls)]
    assert all(np.isfinite(value).all() for value in values)
    assert np.abs(values[0] - values[1]).max() > 0.01
    ids, _ = plain_ids(hub[name], name, dna(3)[0])
    np.testing.assert_allclose(values[2][0], plain_vectors(hub[name], ids)[0], atol=2e-5)


def test_overlapping_kmers_equal_those_of_the_bert_tokenizer(hub):
    ours = load_tokenizer(hub["dnabert"], "bert")
    texts = [*dna(5), "ACGNACGT", "AC", "", "ACG", "RYACGTT"]
    tokens = ours.encode(Sequences.from_strings(texts))
    for row, text in enumerate(texts):
        assert tokens[row].tolist() == plain_ids(hub["dnabert"], "dnabert", text)[0]


def test_a_window_over_the_context_is_refused(hub):
    embedder = Embedder.load(str(hub["dnabert"]))
    with pytest.raises(ModelError, match="one of 600 bp is 600 tokens, the most are 512"):
        embedder.embed_sequences(Sequences.from_strings(["ACGT" * 150]))


def test_special_settings_of_the_tokenizer_are_identity_but_not_its_path(hub, tmp_path):
    copy = shutil.copytree(hub["grover"], tmp_path / "copy")
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"name_or_path": "/x/y"}))
    assert Embedder.load(str(copy)).spec == Embedder.load(str(hub["grover"])).spec
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"do_lower_case": True}))
    assert "tokenizer_sha256" in Embedder.load(str(copy)).spec.difference(
        Embedder.load(str(hub["grover"])).spec
    )


def test_remote_code_runs_only_when_trusted(hub):
    with pytest.raises(ModelError, match=r"runs Python code of its own.*give --trust-remote-code"):
        Embedder.load(str(hub["remote"]))
    trusted = Embedder.load(str(hub["remote"]), precision="fp32", trust_remote_code=True)
    weights = load_file(hub["remote"] / "model.safetensors")
    ids, _ = plain_ids(hub["remote"], "remote", "ACGTTTG")
    running = np.cumsum(weights["words.weight"][ids], 0) / np.arange(1, len(ids) + 1)[:, None]
    expected = (running @ weights["mix.weight"].T + weights["mix.bias"])[1:-1].mean(0)
    done = trusted.embed_sequences(Sequences.from_strings(["ACGTTTG"]))[0]
    np.testing.assert_allclose(done, expected, atol=1e-5)
    with pytest.raises(ModelError, match="layer 1 is not -1"):
        Embedder.load(str(hub["remote"]), trust_remote_code=True, layer=1)
    inner = Embedder.load(str(hub["remote"]), trust_remote_code=True, layer=0)
    with pytest.raises(ModelError, match="does not give its layers"):
        inner.embed_sequences(Sequences.from_strings(["ACGT"]))


def test_a_table_of_remote_code_is_right_or_the_model_is_refused(hub, tmp_path):
    copy = shutil.copytree(hub["remote"], tmp_path / "tables")
    code = (copy / "modeling_toy.py").read_text()
    made = 'self.register_buffer("steps", torch.arange(1.0, 601.0)[:, None], persistent=False)'
    code = code.replace("self.post_init()", f"{made}\n        self.post_init()")
    code = code.replace("torch.arange(1, x.shape[1] + 1)[:, None]", "self.steps[: x.shape[1]]")
    (copy / "modeling_toy.py").write_text(code)
    some, rules = Sequences.from_strings(dna(2)), {"precision": "fp32", "trust_remote_code": True}
    try:
        done = Embedder.load(str(copy), **rules).embed_sequences(some)
    except ModelError as fault:  # transformers 5 loads such tables as uninitialised memory
        assert "came back changed from loading, first ['steps']" in str(fault)
        return
    plain = Embedder.load(str(hub["remote"]), **rules).embed_sequences(some)
    np.testing.assert_allclose(done, plain, atol=1e-6)


def test_remote_code_is_identity(hub, tmp_path):
    copy = shutil.copytree(hub["remote"], tmp_path / "remote2")
    with (copy / "modeling_toy.py").open("a") as file:
        file.write("# changed\n")
    specs = [Embedder.load(str(p), trust_remote_code=True).spec for p in (hub["remote"], copy)]
    assert specs[0].difference(specs[1]).startswith("config_sha256")


def test_hub_code_needs_a_commit(hub, monkeypatch):
    def fetched(hub_id, revision, *, with_code=False):
        calls.append((hub_id, revision, with_code))
        return hub["remote"], COMMIT

    calls = []
    monkeypatch.setattr("peakatlas.engine.models.loading.fetch", fetched)
    with pytest.raises(ModelError, match="needs a pinned revision, and 'main' can be moved"):
        find_model("lab/model", trust_remote_code=True)
    with pytest.raises(ModelError, match="runs Python code of its own"):
        find_model("lab/model", revision=COMMIT)
    card, path = find_model("lab/model", revision=COMMIT, trust_remote_code=True)
    assert (card.name, card.source, card.revision) == ("lab/model", "lab/model", COMMIT)
    assert path == hub["remote"]
    assert [call[2] for call in calls] == [False, False, True]
    with pytest.raises(ModelError, match="is not a hub model, so it has no revision"):
        find_model(str(hub["grover"]), revision=COMMIT)


@pytest.mark.parametrize("name", [n for n, card in MODELS.items() if card.non_commercial])
def test_every_card_of_nucleotide_transformer_names_its_loader_and_context(hub, name, monkeypatch):
    card = MODELS[name]
    path = hub["nt-v2" if "-v2-" in name else "nt-v1"]
    monkeypatch.setattr(
        "peakatlas.engine.models.loading.fetch", lambda hub_id, revision, with_code: (path, COMMIT)
    )
    embedder = Embedder.load(card.source, precision="fp32")
    assert embedder.card == replace(card, revision=COMMIT)
    assert find_model(str(path))[0].loader == card.loader
    assert embedder.spec.window == "centre:1002"
    assert np.isfinite(embedder.embed_sequences(Sequences.from_strings(["ACGTTG" * 167]))).all()
    with pytest.raises(ModelError, match=f"the most are {card.context_tokens}"):
        embedder.embed_sequences(Sequences.from_strings(["ACGTTG" * card.context_tokens]))


def test_licence_is_read_from_the_readme(hub, tmp_path):
    copy = shutil.copytree(hub["grover"], tmp_path / "copy")
    assert find_model(str(copy))[0].licence == "unknown"
    (copy / "README.md").write_text(
        "---\ntags:\n- dna\nlicense: cc-by-nc-sa-4.0\n---\nlicense: x\n"
    )
    card = find_model(str(copy))[0]
    assert (card.licence, card.non_commercial) == ("cc-by-nc-sa-4.0", True)
    (copy / "README.md").write_text("# A model\nlicense: mit\n")
    assert find_model(str(copy))[0].licence == "unknown"


def test_code_in_another_repository_is_refused(hub, tmp_path):
    copy = shutil.copytree(hub["remote"], tmp_path / "copy")
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace("modeling_toy.", "lab/other--modeling_toy."))
    with pytest.raises(ModelError, match="lies in another repository"):
        Embedder.load(str(copy), trust_remote_code=True)


def test_a_table_that_loading_changed_is_refused(hub):
    from transformers import ModernBertModel  # noqa: PLC0415

    model = read_checkpoint(ModernBertModel, hub["modernbert"], "a ModernBERT")
    model.rotary_emb.sliding_attention_inv_freq.mul_(1.5)
    with pytest.raises(ModelError, match="came back changed from loading"):
        finish_encoder(model, "fp32", CPU)


def test_lost_positions_are_refused_in_bf16_too(hub):
    from transformers import BertModel  # noqa: PLC0415

    model = read_checkpoint(BertModel, hub["grover"], "a BERT", add_pooling_layer=False)
    model.embeddings.position_embeddings.weight.data.zero_()
    with pytest.raises(ModelError, match="the order of the tokens has no effect"):
        finish_encoder(model, "bf16", CPU)


def test_randomness_at_inference_is_refused(hub):
    from transformers import BertModel  # noqa: PLC0415

    model = read_checkpoint(BertModel, hub["grover"], "a BERT", add_pooling_layer=False)
    with pytest.raises(ModelError, match="change with its batch"):
        finish_encoder(model.train(), "fp32", CPU)


def test_absent_weights_are_refused(hub, tmp_path):
    copy = shutil.copytree(hub["grover"], tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"16 weight\(s\) are absent"):
        Embedder.load(str(copy))


def test_any_native_model_loads_by_auto(hub):
    as_auto = load_auto(hub["modernbert"], "fp32", CPU)
    ids = torch.tensor([2, 5, 6, 7, 8, 3])
    expected = plain_vectors(hub["modernbert"], ids.tolist())
    np.testing.assert_allclose(packed(as_auto, ids)[0].numpy(), expected, atol=2e-5)


def test_under_autocast_attention_takes_bf16_and_vectors_agree(hub, monkeypatch):
    from transformers import BertModel  # noqa: PLC0415

    options = {"add_pooling_layer": False, "attn_implementation": "sdpa"}
    plain = finish_encoder(read_checkpoint(BertModel, hub["grover"], "a BERT", **options),
                           "fp32", CPU)  # fmt: skip
    model = read_checkpoint(BertModel, hub["grover"], "a BERT", **options)
    set_precision(model, "bf16", autocast=True)
    fast = HfEncoder(model=model, dim=plain.dim, n_layers=plain.n_layers, autocast=True)
    attend, seen = torch.nn.functional.scaled_dot_product_attention, set()

    def noted(query, *args, **kwargs):
        seen.add(query.dtype)
        return attend(query, *args, **kwargs)

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", noted)
    ids = torch.arange(5, 21)
    found = packed(fast, ids, ids.flip(0)[:9])
    assert seen == {torch.bfloat16}
    for mine, exact in zip(found, packed(plain, ids, ids.flip(0)[:9]), strict=True):
        assert mine.dtype == torch.float32
        assert torch.cosine_similarity(mine.mean(0), exact.mean(0), dim=0) >= 0.999


def test_a_vocabulary_without_dna_is_refused(hub, tmp_path):
    copy = shutil.copytree(hub["modernbert"], tmp_path / "copy")
    text = (copy / "tokenizer.json").read_text()
    for letter, other in zip("ACGT", "wxyz", strict=True):
        text = text.replace(f'"{letter}":', f'"{other}":')
    (copy / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match="no token of the vocabulary is a stretch of A, C, G, T"):
        Embedder.load(str(copy))
