"""Speed of the embedding engine beside other ways to do the same, on real DNA.

    python benchmarks/embed.py --json
    python benchmarks/embed.py --json --peers-python other-venv/bin/python
    python benchmarks/embed.py --quick --json

Models are Nucleotide Transformer v2 shapes (50M, 500M) with random weights; windows are 534 to
1014 bp of GRCh37 chromosome 20 (public; folder ``--data``, random DNA without it). 1024 windows
are sorted by length and three runs of neighbours are timed. One run of this script interleaves
all subjects, in one thread, and takes medians of CPU time; two-thread figures are wall time.

``ratio_vs_naive``            fp32 Hugging Face model, one sequence at a time at its exact length
``ratio_vs_model_card``       fp32 masked-LM model, padded to 2048 tokens (the median window, once a
                              round: its time hardly depends on the window)
``ratio_vs_sentence_transformers``  its encode: sorted, padded batches of 32, bf16
``ratio_vs_openvino_bf16``    OpenVINO, bf16, one sequence at a time at its exact length
``fraction_of_gemm_peak``     FLOP/s over those of a bf16 product of 2048 x 2048 matrices, by
                              torch or by oneDNN with prepacked weights, whichever is faster
``min_cosine_vs_fp32``        least cosine of a window's vector and the naive one's
``tokenizer_ratio_vs_hf``     windows a second over those of EsmTokenizer
``rss_growth_mb``             peak memory of a process that builds an atlas of 500,000 peaks, less
                              that of one that builds an atlas of 10,000
``pipeline_efficiency``       CPU time of the bare forward over that of an atlas build (50M)
``host_windows_per_second``   510-bp windows a CPU second from peaks to packs (``peaklm-v3``)
``cuda_ops_per_layer``        kernels a layer of the GPU's forward, counted on a CPU
``cuda_host_reads_per_pack``  times that the host waits for a value of the GPU, likewise
``peaklm_ratio_vs_before``    CPU time of ``peaklm-v3`` at ``--before`` over that of now

Peers that are not installed are null, with the reason. Ratios above 1 mean that peakatlas is
faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from embed_engine import BEFORE, cuda_counts, host_windows_per_second, peaklm_ratio
from embed_peers import hf_tokenizer
from embed_workload import (
    CONTEXT,
    GENOME,
    POOL,
    SHAPES,
    Shape,
    cpu_seconds,
    flops,
    make_head,
    make_model,
    read_windows,
    timed_rows,
    tokenizer,
)  # fmt: skip
from numpy.typing import NDArray
from provenance import provenance

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.forward.encoder import PackedEncoder
from peakatlas.engine.forward.linear import OneDnnLinear, has_onednn
from peakatlas.engine.forward.packing import pack
from peakatlas.engine.models.esm import build_encoder
from peakatlas.engine.tokens.token_ids import Tokens

PEERS = {"sentence_transformers": "sentence_transformers", "openvino_bf16": "openvino"}


class Peers:
    """A process of another Python that times the other engines, one at a time."""

    def __init__(self, python: Path, shape: str, data: Path) -> None:
        here = Path(__file__).parent
        command = [str(python), str(here / "embed_peers.py"), "--shape", shape, "--data", str(data)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=os.environ | {"PYTHONPATH": str(here.parent), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.reasons: dict[str, str] = {}

    def seconds(self, name: str) -> float:
        """CPU seconds of one peer for all timed windows; NaN if it does not run."""
        if name in self.reasons or self._process.stdin is None or self._process.stdout is None:
            return float("nan")
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"reason": "the process ended"}')
        if "reason" in answer:
            self.reasons[name] = answer["reason"]
        return float(answer.get("cpu_s", "nan"))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def embed_packed(encoder: PackedEncoder, tokens: Tokens) -> NDArray[np.float32]:
    """Bare forward and pooling of the engine, float32, shape (n, dim)."""
    out = np.empty((len(tokens), encoder.dim), np.float32)
    for rows in pack(tokens.lengths, encoder.pack_tokens):
        ids = tokens.take(rows)
        plan = encoder.plan(ids, tokens.lengths[rows], real=ids > 3)
        out[rows] = encoder.mean(encoder.hidden(plan), plan).numpy()
    return out


@torch.inference_mode()
def embed_naive(model: torch.nn.Module, tokens: Tokens) -> NDArray[np.float32]:
    """Hugging Face, one sequence at a time, mean without CLS."""
    rows = []
    for row in range(len(tokens)):
        ids = torch.from_numpy(tokens[row]).long()[None]
        hidden = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        rows.append(hidden[0, 1:].mean(0))
    return np.asarray(torch.stack(rows).numpy())


@torch.inference_mode()
def embed_model_card(model: torch.nn.Module, head: torch.nn.Module, ids: NDArray[np.int32]) -> None:
    """One window as in the model card: padded to the context, attention masked, logits, mean."""
    padded = torch.ones(1, CONTEXT, dtype=torch.int64)
    padded[0, : len(ids)] = torch.from_numpy(ids)
    mask = (padded != 1).long()
    hidden = model(padded, attention_mask=mask).last_hidden_state
    head(hidden)
    (hidden * mask[..., None]).sum(1) / mask.sum(1)


def gemm_flops(n: int, clock: Callable[[], float]) -> float:
    """FLOP/s of the faster of two bf16 products of n x n matrices."""
    x, weight = torch.randn(2, n, n).bfloat16()
    products: list[Callable[[], object]] = [lambda: x @ weight]
    if has_onednn(weight.dtype):
        layer = OneDnnLinear(weight, None)
        products.append(lambda: layer(x))
    with torch.inference_mode():
        return 2 * n**3 / min(_seconds(product, clock) for product in products)


def _seconds(work: Callable[[], object], clock: Callable[[], float], times: int = 5) -> float:
    work()
    taken = []
    for _ in range(times):
        started = clock()
        work()
        taken.append(clock() - started)
    return statistics.median(taken)


def benchmark_shape(
    name: str, data: Path, python: Path | None, reasons: dict[str, str]
) -> dict[str, float | None]:
    """All figures of one model shape."""
    shape = SHAPES[name]
    dna = read_windows(data, POOL)
    tokens = tokenizer().encode(dna.take(timed_rows(len(dna), shape.windows)))
    model = make_model(shape)
    encoder = build_encoder(model, "bf16", torch.device("cpu"), gated=True)
    peers = None if python is None else Peers(python, name, data)
    fast = embed_packed(encoder, tokens)
    cosine = _cosine(fast, embed_naive(model, tokens))
    taken: dict[str, list[float]] = {}
    for _ in range(shape.rounds):
        for subject, seconds in _round(shape, model, encoder, tokens, peers).items():
            taken.setdefault(subject, []).append(seconds)
    if peers is not None:
        peers.close()
        reasons |= {f"ratio_vs_{peer} {name}": why for peer, why in peers.reasons.items()}
    found = {subject: statistics.median(values) for subject, values in taken.items()}
    return _figures(found, flops(shape, tokens.lengths), shape) | {"min_cosine_vs_fp32": cosine}


def _round(
    shape: Shape,
    model: torch.nn.Module,
    encoder: PackedEncoder,
    tokens: Tokens,
    peers: Peers | None,
) -> dict[str, float]:
    """Seconds (or FLOP/s, for the products) of each subject, once."""
    size = 2048 if shape.dim >= 512 else 256
    head, middle = make_head(model), tokens[len(tokens) // 2]
    found = {
        "gemm": gemm_flops(size, time.process_time),
        "packed": cpu_seconds(lambda: embed_packed(encoder, tokens)),
        "naive": cpu_seconds(lambda: embed_naive(model, tokens)),
        "card": cpu_seconds(lambda: embed_model_card(model, head, middle)) * len(tokens),
        "packed again": cpu_seconds(lambda: embed_packed(encoder, tokens)),
    }
    for peer in PEERS if peers is not None else ():
        found[peer] = peers.seconds(peer) if peers is not None else float("nan")
    torch.set_num_threads(2)
    found["gemm 2"] = gemm_flops(size, time.perf_counter)
    found["packed 2"] = _seconds(lambda: embed_packed(encoder, tokens), time.perf_counter, 1)
    torch.set_num_threads(1)
    found["packed"] = (found["packed"] + found.pop("packed again")) / 2
    return found


def _figures(found: dict[str, float], n_flops: float, shape: Shape) -> dict[str, float | None]:
    packed = found["packed"]
    return {
        "ratio_vs_naive": found["naive"] / packed,
        "ratio_vs_model_card": found["card"] / packed,
        "fraction_of_gemm_peak": n_flops / packed / found["gemm"],
        "fraction_of_gemm_peak_2_threads": n_flops / found["packed 2"] / found["gemm 2"],
        "ratio_vs_sentence_transformers": _ratio(found.get("sentence_transformers"), packed),
        "ratio_vs_openvino_bf16": _ratio(found.get("openvino_bf16"), packed),
        "windows_per_cpu_s": shape.windows / packed,
        "gflops": n_flops / packed / 1e9,
        "gemm_peak_gflops": found["gemm"] / 1e9,
        "speedup_2_threads": packed / found["packed 2"],
    }


def _ratio(seconds: float | None, packed: float) -> float | None:
    return None if seconds is None or np.isnan(seconds) else seconds / packed


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float((np.sum(a * b, axis=1) / lengths).min())


def tokenizer_ratio(data: Path, n: int) -> float:
    """CPU time of EsmTokenizer over ours, a window, both from Python strings."""
    dna = read_windows(data, n)
    texts = [dna[row] for row in range(len(dna))]
    ours = tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        theirs = hf_tokenizer(Path(folder))
    some = texts[:: max(1, n // 128)]
    ratios = []
    for _ in range(5):
        slow = cpu_seconds(lambda: theirs(some)) / len(some)
        ratios.append(
            slow / (cpu_seconds(lambda: ours.encode(Sequences.from_strings(texts))) / len(texts))
        )
    return statistics.median(ratios)


def in_atlas_build(task: str, data: Path, quick: bool) -> tuple[float | None, str]:
    """Figure of ``embed_atlas.py`` in a process of its own, or why there is none."""
    if not (data / GENOME).exists():
        return None, f"{data / GENOME} does not exist"
    script = Path(__file__).parent / "embed_atlas.py"
    command = [sys.executable, str(script), task, "--data", str(data), *["--quick"][: int(quick)]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or ["it failed"])[-1]
    return float(done.stdout.split()[-1]), ""


def benchmark(
    data: Path, shapes: list[str], python: Path | None, quick: bool, before: str
) -> dict[str, object]:
    """Run all and return the JSON object to print; a figure of several shapes is keyed by them."""
    started = time.monotonic()
    torch.set_num_threads(1)
    reasons: dict[str, str] = {}
    result: dict[str, object] = {"benchmark": "embed", "quick": quick, "shapes": shapes}
    by_shape = {name: benchmark_shape(name, data, python, reasons) for name in shapes}
    for key in next(iter(by_shape.values())):
        result[key] = {name: _rounded(figures[key]) for name, figures in by_shape.items()}
    if python is None:
        reasons |= {
            f"ratio_vs_{peer}": f"{module} is not installed" for peer, module in PEERS.items()
        }
    result["tokenizer_ratio_vs_hf"] = _rounded(tokenizer_ratio(data, 64 if quick else 2048))
    for key in ("rss_growth_mb", "pipeline_efficiency"):
        value, why = in_atlas_build(key, data, quick)
        result[key] = _rounded(value)
        reasons |= {key: why} if why else {}
    result["host_windows_per_second"] = round(host_windows_per_second(data, quick=quick), 1)
    result["cuda_ops_per_layer"], result["cuda_host_reads_per_pack"] = cuda_counts()
    ratio, why = peaklm_ratio(before, quick=quick)
    result |= {"peaklm_ratio_vs_before": _rounded(ratio), "before": before}
    reasons |= {"peaklm_ratio_vs_before": why} if why else {}
    return result | {
        "reasons": reasons,
        "sequences": GENOME if (data / GENOME).exists() else "random",
        "seconds": round(time.monotonic() - started, 1),
        "provenance": provenance(),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}") if value < 1 else round(value, 3)


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["50m", "500m"])
    parser.add_argument("--peers-python", type=Path, help="Python that has the other engines")
    parser.add_argument("--before", default=BEFORE, help="commit that peaklm-v3 is compared with")
    parser.add_argument("--quick", action="store_true", help="a tiny model, once, in seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    installed = all(importlib.util.find_spec(module) for module in PEERS.values())
    python = args.peers_python or (Path(sys.executable) if installed else None)
    shapes = ["tiny"] if args.quick else args.shapes
    result = benchmark(args.data, shapes, python, args.quick, args.before)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
