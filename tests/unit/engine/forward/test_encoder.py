"""The packed forward against Hugging Face's own, and against itself in other company."""

import pytest
import torch
from toy_models import packed, write_toy_glu
from transformers import EsmModel

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward import linear
from peakatlas.engine.forward.linear import PlainLinear, make_cpu_linear
from peakatlas.engine.models.checks import check_encoder
from peakatlas.engine.models.esm import build_encoder, load_esm, load_hf
from peakatlas.engine.models.esm_glu import EsmGluModel, load_esm_glu

CPU = torch.device("cpu")
LENGTHS = [87, 87, 40, 11, 3]


@pytest.fixture(scope="module")
def token_ids():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 4105, (length,), generator=generator) for length in LENGTHS]


def naive(model, ids, layer=-1):
    """One sequence at a time through Hugging Face's model."""
    with torch.inference_mode():
        out = model(ids[None], attention_mask=torch.ones(1, len(ids)), output_hidden_states=True)
    return (out.last_hidden_state if layer < 0 else out.hidden_states[layer])[0]


FAMILIES = {
    "rotary": ("toy_esm", EsmModel, load_esm),
    "learnt positions": ("toy_absolute", EsmModel, load_esm),
    "swiglu": ("toy_glu", EsmGluModel, load_esm_glu),
}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request):
    fixture, model_class, load = request.param
    path = request.getfixturevalue(fixture)
    return load_hf(model_class, path), lambda precision: load(path, precision, CPU)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 5e-6), ("bf16", 0.05)])
def test_packed_vectors_equal_those_of_hugging_face(family, token_ids, precision, tolerance):
    model, load = family
    hidden = packed(load(precision), *token_ids)
    for ids, vectors in zip(token_ids, hidden, strict=True):
        expected = naive(model, ids)
        assert expected.abs().mean() > 0.3  # so that the tolerance means something
        torch.testing.assert_close(vectors, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("layer", [0, 1])
def test_an_inner_layer_is_the_hidden_state_of_that_layer(family, token_ids, layer):
    model, load = family
    hidden = packed(load("fp32"), token_ids[0], layer=layer)
    torch.testing.assert_close(hidden[0], naive(model, token_ids[0], layer), atol=5e-6, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_vectors_are_the_same_bytes_alone_in_company_and_with_any_number_of_threads(
    family, token_ids, precision
):
    encoder = family[1](precision)
    before = torch.get_num_threads()
    alone = [packed(encoder, ids)[0] for ids in token_ids]
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 1] * 6 + [3] * 7 + [4]):
                hidden = packed(encoder, *(token_ids[i] for i in order))
                assert all(torch.equal(hidden[k], alone[i]) for k, i in enumerate(order))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_large_packs_are_the_same_bytes_as_single_sequences(tmp_path, precision):
    """Large enough that every kernel splits its work between threads, at odd places too."""
    encoder = load_esm_glu(write_toy_glu(tmp_path / "wide", dim=256), precision, CPU)
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(2, 190, (24,), generator=generator).sort(descending=True)[0].tolist()
    ids = torch.randint(3, 4105, (sum(lengths),), generator=generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [packed(encoder, part)[0] for part in ids.split(lengths)]
        for threads, n in ((1, 24), (2, 24), (3, 23), (4, 17), (5, 24)):
            torch.set_num_threads(threads)
            hidden = packed(encoder, *ids.split(lengths)[:n])
            assert all(torch.equal(*pair) for pair in zip(hidden, alone[:n], strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("length", [2, 3, 9, 15, 16, 31, 86])
def test_any_number_of_equal_sequences_gives_each_the_same_bytes(family, precision, length):
    encoder = family[1](precision)
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(3, 4105, (9 * length,), generator=generator)
    alone = [packed(encoder, part)[0] for part in ids.split(length)]
    for n in range(2, 10):
        hidden = packed(encoder, *ids.split(length)[:n])
        assert all(torch.equal(*pair) for pair in zip(hidden, alone[:n], strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("activation", ["none", "gelu", "swish"])
def test_prepacked_layer_agrees_with_the_plain_one(dtype, activation):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*s).to(dtype) for s in ((70, 40), (24, 40), (24,)))
    fast = make_cpu_linear(weight, bias)(x, activation)
    plain = PlainLinear(weight, bias)(x, activation)
    assert fast.dtype == dtype
    tolerance = 0.01 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(fast, plain, atol=10 * tolerance, rtol=tolerance)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_without_onednn_vectors_agree_and_do_not_depend_on_company(
    family, token_ids, precision, monkeypatch
):
    fast = packed(family[1](precision), token_ids[0])[0]
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    encoder = family[1](precision)
    alone = [packed(encoder, ids)[0] for ids in token_ids]
    together = packed(encoder, *token_ids)
    assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))
    tolerance = 0.05 if precision == "bf16" else 5e-6
    torch.testing.assert_close(alone[0], fast, atol=tolerance, rtol=0)


def test_a_cpu_without_bf16_products_multiplies_rounded_weights_in_fp32(
    family, token_ids, monkeypatch
):
    load = family[1]
    fast, exact = (packed(load(precision), *token_ids) for precision in ("bf16", "fp32"))
    monkeypatch.setattr(linear, "cpu_multiplies_bf16", lambda: False)
    encoder = load("bf16")
    assert encoder.shape.dtype == torch.float32
    slow = packed(encoder, *token_ids)
    for mine, bf16, fp32 in zip(slow, fast, exact, strict=True):
        assert torch.cosine_similarity(mine.mean(0), bf16.mean(0), dim=0) >= 0.9999
        assert 0 < (mine - fp32).abs().max() < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(toy_esm, token_ids):
    for precision, tolerance in (("fp32", 2e-3), ("bf16", 0.05)):
        cpu = packed(load_esm(toy_esm, precision, CPU), *token_ids)
        cuda = packed(load_esm(toy_esm, precision, torch.device("cuda")), *token_ids)
        for here, there in zip(cpu, cuda, strict=True):
            torch.testing.assert_close(there.cpu(), here, atol=tolerance, rtol=0)


def test_self_check_finds_weights_that_are_not_finite(toy_esm):
    model = load_hf(EsmModel, toy_esm)
    with torch.no_grad():
        model.encoder.layer[1].intermediate.dense.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="a weight is not finite"):
        build_encoder(model, "fp32", CPU)


def test_self_check_finds_positions_that_are_lost(toy_absolute):
    encoder = load_esm(toy_absolute, "fp32", CPU)
    encoder.embedding.positions.zero_()
    with pytest.raises(ModelError, match="the order of the tokens has no effect"):
        check_encoder(encoder)
