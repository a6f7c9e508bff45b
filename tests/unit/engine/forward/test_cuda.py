"""The forward of a GPU, run on a CPU: the same vectors, few kernels, nothing read back."""

import functools
import subprocess
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_scripts import benchmark_script
from toy_models import packed
from transformers import EsmModel

from peakatlas.engine.forward import cuda, varlen
from peakatlas.engine.forward.attention import packed_attention
from peakatlas.engine.forward.cuda import CudaForward, Fused
from peakatlas.engine.forward.linear import PlainLinear
from peakatlas.engine.forward.plan import make_plan
from peakatlas.engine.forward.varlen import (
    VarlenKernel,
    padded_attention,
    varlen_attention,
    varlen_kernel,
)
from peakatlas.engine.models import esm, peaklm
from peakatlas.engine.models.esm import load_hf
from peakatlas.engine.models.esm_glu import EsmGluModel
from peakatlas.engine.models.peaklm import read_model
from peakatlas.engine.models.table import MODELS

CPU = torch.device("cpu")
LENGTHS = [87, 87, 40, 11, 3]
OpCounts = benchmark_script("op_counts").OpCounts


def plain_kernel(query, key, value, first, same, longest, _, scale):
    """What the kernel without padding computes, one sequence after the other."""
    assert first.dtype == torch.int32
    assert first is same
    bounds = first.tolist()
    assert max(b - a for a, b in pairwise(bounds)) == longest
    mixed = torch.full_like(value, torch.nan)  # rows past the last sequence are left alone
    for rows in (slice(*pair) for pair in pairwise(bounds)):
        scores = torch.einsum("qhd,khd->hqk", query[rows].float() * scale, key[rows].float())
        mixed[rows] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), value[rows].float()).to(
            value.dtype
        )
    return mixed


@pytest.fixture
def unpadded(monkeypatch):
    """A stand-in for the kernel, which a CPU has not."""
    kernel = VarlenKernel(plain_kernel, {})
    monkeypatch.setattr(cuda, "varlen_kernel", lambda _: kernel)


FAMILIES = {
    "rotary": lambda get: (esm, load_hf(EsmModel, get("toy_esm")), {}),
    "learnt positions": lambda get: (esm, load_hf(EsmModel, get("toy_absolute")), {}),
    "swiglu": lambda get: (esm, load_hf(EsmGluModel, get("toy_glu")), {"gated": True}),
    "peaklm": lambda get: (peaklm, read_model(get("toy_peaklm")), {}),
}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def build(request):
    """Builds an encoder of a family for a precision and a way to run it."""
    module, model, options = request.param(request.getfixturevalue)
    return lambda precision, forward: module.build_encoder(
        model, precision, CPU, forward=forward, **options
    )


def token_ids(encoder):
    generator = torch.Generator().manual_seed(0)
    most = encoder.embedding.n_ids
    return [torch.randint(3, most, (length,), generator=generator) for length in LENGTHS]


def least_cosine(a, b):
    pairs = zip(a, b, strict=True)
    return min(float(torch.cosine_similarity(x.mean(0), y.mean(0), dim=0)) for x, y in pairs)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("way", ["unpadded", "padded"])
def test_vectors_are_those_of_the_cpu(build, precision, way, request):
    if way == "unpadded":
        request.getfixturevalue("unpadded")
    here, there = build(precision, None), build(precision, CudaForward(CPU))
    ids = token_ids(here)
    expected, found = packed(here, *ids), packed(there, *ids)
    assert all(torch.isfinite(vectors).all() for vectors in found)
    assert least_cosine(found, expected) >= (0.999999 if precision == "fp32" else 0.9999)
    inner = zip(packed(here, *ids, layer=1), packed(there, *ids, layer=1), strict=True)
    tolerance = 2e-5 if precision == "fp32" else 0.1
    assert all(torch.allclose(a, b, atol=tolerance) for a, b in inner)


def test_the_shipped_model_gives_the_vectors_of_the_cpu(unpadded):
    model = read_model(Path(MODELS["peaklm-v3"].source))
    here, there = (
        peaklm.build_encoder(model, "bf16", CPU, forward=way) for way in (None, CudaForward(CPU))
    )
    ids = token_ids(here)
    assert least_cosine(packed(here, *ids), packed(there, *ids)) >= 0.9999


def run_counted(build, precision="bf16"):
    """Kernels and reads of one pack with both layers, and with one less."""
    found = []
    for layer in (2, 1):
        counts = OpCounts()
        encoder = build(precision, CudaForward(CPU, fuse=counts.fuse))
        encoder = replace(encoder, blocks=encoder.blocks[:layer])
        plan = encoder.plan(torch.cat(token_ids(encoder)).numpy(), LENGTHS)
        counts.kernels.clear()
        with counts:
            encoder.mean(encoder.hidden(plan), plan)
        found.append(counts)
    return found


def test_a_layer_is_nine_kernels_and_a_pack_reads_nothing_back(build, monkeypatch):
    counted = VarlenKernel(lambda query, *_, **__: query + 0, {})
    monkeypatch.setattr(cuda, "varlen_kernel", lambda _: counted)
    both, one = run_counted(build)
    assert both.n_reads == 0
    assert both.n_kernels - one.n_kernels <= 9


def test_padding_reads_nothing_back_either(build):
    both, one = run_counted(build)
    assert both.n_reads == 0
    assert both.n_kernels - one.n_kernels <= 16


def on_meta(value):
    """A dataclass, linear layer or tensor without its numbers: reading one is an error."""
    if isinstance(value, torch.Tensor):
        return value.to("meta")
    if isinstance(value, PlainLinear):
        return PlainLinear(on_meta(value._weight), on_meta(value._bias))
    if isinstance(value, tuple):
        return tuple(map(on_meta, value))
    if not is_dataclass(value):
        return value
    names = [field.name for field in fields(value) if field.name != "shape"]
    return replace(value, **{name: on_meta(getattr(value, name)) for name in names})


def test_the_whole_pass_needs_no_number_from_the_device(build):
    encoder = build("bf16", CudaForward(CPU))
    plan = encoder.plan(torch.cat(token_ids(encoder)).numpy(), LENGTHS)
    there = on_meta(encoder)
    pooled = there.mean(there.hidden(on_meta(plan)), on_meta(plan))
    assert pooled.is_meta
    assert pooled.shape == (len(LENGTHS), encoder.dim)


def test_attention_with_and_without_padding_is_that_of_the_cpu():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 256, 4, 8)
    plan = make_plan(np.zeros(sum(LENGTHS)), LENGTHS, n_rows=256, padded=True)
    n = plan.n_tokens
    expected = packed_attention(query * 0.5, key, value, plan.groups)[:n]
    kernel = VarlenKernel(plain_kernel, {})
    without = varlen_attention(kernel, query, key, value, plan, 0.5)[:n]
    padded = padded_attention(query, key, value, plan, 0.5)[:n]
    torch.testing.assert_close(without, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded, expected, atol=1e-5, rtol=0)


def test_padding_without_its_indices_is_refused():
    value = torch.zeros(3, 1, 8)
    with pytest.raises(ValueError, match="make it with padded=True"):
        padded_attention(value, value, value, make_plan([1, 2, 3], [3]), 1.0)


@pytest.mark.parametrize(
    ("capability", "found"), [((9, 0), True), ((8, 0), True), ((7, 5), False), ((7, 0), False)]
)
def test_the_kernel_without_padding_needs_an_ampere_card(monkeypatch, capability, found):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    monkeypatch.setattr(varlen, "_runs", lambda *_: True)
    kernel = varlen_kernel(torch.device("cuda"))
    assert (kernel is not None) == found
    assert kernel is None or kernel.options == {"num_splits": 1}


def versions_of_the_kernel():
    """Functions like PyTorch's, and the options that each can be called with."""

    def knows_splits(query, key, value, a, b, m, n, *, scale=None, num_splits=None):
        return value

    def refuses_splits(query, key, value, a, b, m, n, *, scale=None, num_splits=None):
        if num_splits is not None:
            raise RuntimeError("num_splits needs another kernel")
        return value

    def knows_no_splits(query, key, value, a, b, m, n, *, scale=None):
        return value

    def absent(query, key, value, a, b, m, n, *, scale=None, num_splits=None):
        raise RuntimeError("built without flash attention")

    def wrong(query, key, value, a, b, m, n, *, scale=None, num_splits=None):
        return value * torch.nan

    def knows_no_scale(query, key, value, a, b, m, n):
        return value

    return {
        knows_splits: {"num_splits": 1}, refuses_splits: {}, knows_no_splits: {},
        absent: None, wrong: None, knows_no_scale: None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "options"), versions_of_the_kernel().items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_the_kernel_without_padding_is_called_as_this_version_wants_it(call, options):
    kernel = varlen.runnable_kernel(call, CPU)
    assert (None if kernel is None else kernel.options) == options


def test_no_kernel_without_padding_on_a_cpu():
    assert varlen_kernel(CPU) is None


def test_packs_have_few_sizes_and_little_filler():
    forward = CudaForward(CPU)
    tokens = range(1, 300_000, 77)
    rows = [forward.rows(n, None) for n in tokens]
    assert all(n <= r for n, r in zip(tokens, rows, strict=True))
    assert all(r <= n + max(128, n / 32) for n, r in zip(tokens, rows, strict=True))
    assert len({r for r in rows if 65_536 <= r < 131_072}) == 32
    assert all(r % 128 == 0 for r in rows)


def test_a_function_that_cannot_be_compiled_runs_as_it_is(monkeypatch):
    def no_compiler(*_):
        raise RuntimeError("no Triton")

    monkeypatch.setattr("torch.compile", lambda _, **__: no_compiler)
    double = Fused(lambda x: 2 * x)
    with pytest.warns(UserWarning, match=r"cannot be used here \(no Triton\)"):
        assert double(3) == 6
    assert double(4) == 8


def test_a_compiler_that_fails_in_its_own_way_is_no_end_either(monkeypatch):
    def no_headers(*_):
        raise subprocess.CalledProcessError(1, ["gcc"])

    monkeypatch.setattr("torch.compile", lambda _, **__: no_headers)
    with pytest.warns(UserWarning, match=r"cannot be used here \(Command '\['gcc'\]' returned"):
        assert Fused(lambda x: 2 * x)(3) == 6


def test_one_kernel_serves_any_number_of_rows_and_other_models_do_not_use_it_up(monkeypatch):
    compiled, compile_with = [], torch.compile

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    @functools.wraps(torch.compile)
    def traced(plain, **options):
        return compile_with(plain, backend=backend, **options)

    monkeypatch.setattr("torch.compile", traced)
    widths = range(16, 16 * 11, 16)  # more than PyTorch keeps kernels for a function
    for width in widths:
        norm = Fused(cuda._norm)
        for n_rows in (128, 256, 384):
            x = torch.randn(n_rows, width)
            found = norm(x, torch.ones(width), None, 1e-5, torch.float32)
            torch.testing.assert_close(found, torch.nn.functional.layer_norm(x, (width,)))
    assert len(compiled) == len(widths)
    both = Fused(cuda._rotate)
    for n_rows, dtype in ((128, torch.float32), (256, torch.bfloat16), (384, torch.bfloat16)):
        both(torch.randn(n_rows, 3, 4, 8).to(dtype)[:, :2], *torch.randn(2, n_rows, 1, 1, 4))
    assert len(compiled) == len(widths) + 2


def test_running_out_of_memory_is_not_taken_for_a_missing_compiler(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("torch.compile", lambda _, **__: full)
    with pytest.raises(torch.OutOfMemoryError):
        Fused(lambda x: x)(1)
