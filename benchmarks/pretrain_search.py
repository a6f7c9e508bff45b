"""What matters in pretraining: the shipped recipe with one thing changed at a time.

    python benchmarks/pretrain_search.py --motifs JASPAR2024.txt --json > search.json

Every variant learns for the same number of steps, with the same schedule from the same seed, and is
judged on the held-out half of chromosome 20. ``bits_per_base``: loss of hidden tokens.
``embedding_error``: share of the variance of the spectra of windows of 510 bp that the embedding
misses.
``cpu_seconds_per_step`` is the time of the process, held-out loss not counted, one thread;
``parameters`` are those used at inference. Steps are few: what wins late is not seen. A variant is
minutes; ``--known search.json`` takes those that an earlier run of as many steps has measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from model_quality import GENOMES, HELD_OUT
from numpy.typing import NDArray
from provenance import provenance
from torch import Tensor, nn

import peakatlas
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.models import letter_network
from peakatlas.engine.models.letter_network import LetterConfig
from peakatlas.engine.pretrain import training
from peakatlas.engine.pretrain.allocation import keep_freed_memory
from peakatlas.engine.pretrain.masking import MaskedTokens, with_hidden
from peakatlas.engine.pretrain.motif_bank import read_motifs
from peakatlas.engine.pretrain.recipe import Recipe
from peakatlas.engine.pretrain.spectrum import Spectrum
from peakatlas.engine.pretrain.training import Pretraining, find_spectrum, make_optimizers
from peakatlas.engine.pretrain.varied_windows import VariedWindows
from peakatlas.engine.pretrain.windows import WindowSampler, split_genomes
from peakatlas.engine.tokens.letters import N_TOKENS, TOKEN_BASES, letter_codes, token_ids

N_WINDOWS = 512
BASE = "shipped recipe"
WORDS = "a vector per token instead of filters"
SPANS = "runs of 4 tokens hidden"
NO_ORDER = "no positions"
RUN = 4
WARMUP, SPECTRUM_WINDOWS = 100, 2048


class WordStem(nn.Module):
    """A vector for each of the tokens, as language models have it: no letters, no filters."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(N_TOKENS, dim)
        nn.init.normal_(self.words.weight, std=0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """Shape (n, n_tokens) to (n, n_tokens, dim)."""
        out: Tensor = self.words(ids)
        return out


def hide_runs(
    codes: NDArray[np.uint8], rate: float, rng: np.random.Generator, *, n_shown: int = 0
) -> MaskedTokens:
    """As `masking.hide_tokens`, but `RUN` neighbours at a time."""
    places = codes.shape[1] // TOKEN_BASES + RUN - 1
    first = rng.random((len(codes), places)) < 1 - (1 - rate) ** (1 / RUN)
    hidden = np.lib.stride_tricks.sliding_window_view(first, RUN, axis=1).any(axis=2)
    hidden[:n_shown] = False
    return with_hidden(codes, hidden)


def variants(base: Recipe) -> dict[str, Recipe]:
    """Recipes by what is changed."""

    def shaped(**fields: int) -> Recipe:
        return replace(base, network=replace(LetterConfig(), **fields))

    return {
        BASE: base,
        WORDS: base,
        NO_ORDER: base,
        SPANS: base,
        "128 filters": shaped(n_filters=128),
        "2 layers": shaped(num_hidden_layers=2),
        "6 layers": shaped(num_hidden_layers=6),
        "width 320": shaped(hidden_size=320, intermediate_size=640),
        "windows of 1,020 bp, half as many": replace(
            base, context_tokens=170, minibatch=32, clean_windows=6
        ),
        "25 % hidden": replace(base, mask_rate=0.25),
        "40 windows teach the embedding, not 24": replace(base, clean_windows=20),
        "AdamW for all": replace(base, muon_learning_rate=0.0),
        "embedding weighs 16": replace(base, embedding_weight=16.0),
    }


@torch.no_grad()
def embedding_error(run: Pretraining, held_out: Sequences) -> float:
    """Missed share of the variance of the spectra of held-out windows."""
    sampler = WindowSampler(held_out, TOKEN_BASES * Recipe().context_tokens)
    codes = letter_codes(sampler.draw(N_WINDOWS, np.random.default_rng(1)))
    ids = torch.from_numpy(token_ids(codes.reshape(N_WINDOWS, -1, TOKEN_BASES)))
    with torch.autocast("cpu", torch.bfloat16):
        parts = [run.model.embedding(run.model.hidden(part)).float() for part in ids.split(64)]
    told, true = torch.cat(parts).mean(1), run.spectrum.targets(codes).mean(1)
    missed = (told - true).square().sum() / (true - true.mean(0)).square().sum()
    return round(float(missed), 4)


def tried(
    name: str, recipe: Recipe, train: Sequences, held_out: Sequences, spectrum: Spectrum
) -> dict[str, float]:
    """Train one variant to tell the spectrum, and judge it."""
    with tempfile.TemporaryDirectory() as folder:
        run = Pretraining(train, held_out, Path(folder), recipe)
        run.spectrum = spectrum
        if name == WORDS:
            run.model.stem = WordStem(recipe.network.hidden_size)  # type: ignore[assignment]
            run.optimizers = make_optimizers(run.model, recipe)
        keep_freed_memory()
        with ExitStack() as changed:
            if name == SPANS:
                changed.enter_context(patch.object(training, "hide_tokens", hide_runs))
            if name == NO_ORDER:
                changed.enter_context(patch.object(letter_network, "turned", lambda x, *_: x))
            return learnt(run, held_out)


def learnt(run: Pretraining, held_out: Sequences) -> dict[str, float]:
    """Train and judge."""
    began = time.process_time()
    while run.step < run.recipe.steps:
        run.train_step()
    seconds = (time.process_time() - began) / run.recipe.steps
    used = sum(w.numel() for n, w in run.model.named_parameters() if "kmer_head" not in n)
    return {
        "bits_per_base": round(run.holdout.bits_per_base(run.model), 4),
        "embedding_error": embedding_error(run, held_out),
        "cpu_seconds_per_step": round(seconds, 3),
        "parameters": used,
    }


def measured(known: Path | None, steps: int) -> dict[str, dict[str, float]]:
    """Variants of an earlier output, if it is of as many steps."""
    earlier = json.loads(known.read_text().splitlines()[-1]) if known else {}
    found: dict[str, dict[str, float]] = earlier.get("variants", {})
    return found if earlier.get("steps") == steps else {}


def benchmark(
    data: Path, motifs: Path, steps: int, chosen: list[str] | None, known: Path | None
) -> dict[str, object]:
    """Run all and return the JSON object to print."""
    began, where = time.monotonic(), provenance()
    torch.set_num_threads(1)
    base = replace(Recipe(), steps=steps, warmup=WARMUP, spectrum_windows=SPECTRUM_WINDOWS)
    train, held_out = split_genomes(
        [data / "genome" / name for name in GENOMES],
        peakatlas.parse_names([HELD_OUT], source="held out"),
    )
    sampler = WindowSampler(train, TOKEN_BASES * base.context_tokens)
    spectrum = find_spectrum(VariedWindows(sampler), base, read_motifs(motifs))
    found = measured(known, steps)
    for name, recipe in variants(base).items():
        if name not in found and (chosen is None or name in chosen):
            found[name] = tried(name, recipe, train, held_out, spectrum)
            print(name, found[name], file=sys.stderr, flush=True)
    return {
        "benchmark": "pretrain_search",
        "steps": steps,
        "variants": {name: found[name] for name in variants(base) if name in found},
        "seconds": round(time.monotonic() - began, 1),
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--motifs", type=Path, required=True, help="JASPAR file")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--variants", nargs="*", help="names of some; else all")
    parser.add_argument("--known", type=Path, help="output of an earlier run")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data, args.motifs, args.steps, args.variants, args.known)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
