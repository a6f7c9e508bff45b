"""How well a nucleotide language model reads regulatory DNA, beside 6-mer counts and chance.

    python benchmarks/model_quality.py --json

``accuracy`` has a figure for each description of the peaks' DNA: ``model``, ``random_twin`` (its
architecture with random weights), ``layer_1`` and on (the mean token vector after so many of the
model's layers), ``kmer6`` (counts of 6-mers, a 6-mer and its reverse complement
being one) and, with ``--motifs``, ``spectrum``: the 5-mers and motifs that the model's embedding
was taught to tell, computed outright. Cells of Schep et al. 2017 (doi:10.1038/nmeth.4401; 600
cells, 10 types) are the mean of their open peaks' vectors, weighted by inverse document frequency.
Unknown bases are masked, parabolas in the shares of N and of GC are taken out of every dimension,
and the vectors are whitened on their first 50 principal components. A logistic regression tells the
types; 5 folds, mean over seeds of the folds. ``*_permuted`` is the same with the vectors permuted
over peaks: what it still achieves owes nothing to DNA.

``bits_per_base`` is the masked-token loss on held-out DNA (the second half of chromosome 20), every
predicted token hidden, also of the twin; ``markov5_bits_per_base`` is that of a Markov model of
order 5 of the training DNA on the same bases, of which it sees what comes before.

``motif_response``: a consensus site is written into the middle of held-out windows and, as a
control, a shuffle of it. How far the vector moves (each dimension divided by its spread over
windows) is compared: the chance that a site moves it further than a shuffle (AUROC), by motif and
on the mean.

``strand_consistency`` and ``shift_consistency``: mean cosine of a held-out window's vector to those
of its reverse complement, and of the window so many bp aside, centred on the mean of the windows.
``peaks_per_second_per_core``: windows of 500 bp, one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fidelity import judged
from model_cells import Vectors, accuracies
from numpy.typing import NDArray
from provenance import provenance
from sklearn.metrics import roc_auc_score

import peakatlas
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.models.letter_network import LetterModel
from peakatlas.engine.models.loading import find_model
from peakatlas.engine.models.peaklm import read_model
from peakatlas.engine.pretrain.evaluation import HoldoutWindows
from peakatlas.engine.pretrain.motif_bank import read_motifs
from peakatlas.engine.pretrain.recipe import Recipe
from peakatlas.engine.pretrain.training import find_spectrum, write_model
from peakatlas.engine.pretrain.varied_windows import VariedWindows
from peakatlas.engine.pretrain.windows import WindowSampler, split_genomes
from peakatlas.engine.tokens.letters import TOKEN_BASES

GENOMES = ("GRCh37_chr20.fa.gz", "GRCh37_chr22_partial.fa.gz", "GRCh37_chrX_1-69999930.fa.gz")
HELD_OUT = "20:31512760-63025520"
SITES = {
    "CTCF": "TGGCCACCAGGGGGCGCTA",
    "GATA": "TTCTTATCTG",
    "SPI1": "AAAGAGGAAGTGG",
    "CEBPA": "ATTGCACAAT",
    "PAX5": "GAGGGCAGCCAAGCGTGAC",
    "RUNX1": "TTCTGTGGTTTT",
    "AP-1": "AATGAGTCATA",
    "NFKB1": "AGGGGAATCCCCT",
    "ETS1": "AACCGGAAGTG",
    "EBF1": "TCCCCAGGGGA",
    "POU2F2": "ATATGCAAATTAG",
    "MEF2A": "CTAAAAATAG",
}
"""Consensus sites after JASPAR 2024 (Rauluseviciute et al. 2024, doi:10.1093/nar/gkad1059)."""
WIDTH, MARGIN = 510, 60
N_WINDOWS, N_SITES, N_TIMED = 2000, 200, 2000
SHIFTS = (10, 50)


def random_twin(model: Path, folder: Path) -> Path:
    """A directory of the model's shape with weights as they are before training, by seed 0."""
    torch.manual_seed(0)
    write_model(LetterModel(read_model(model).config), folder)
    return folder


def losses(paths: dict[str, Path], train: Sequences, held_out: Sequences) -> dict[str, float]:
    """Held-out bits a base of the model, of its twin and of a Markov model."""
    exam = HoldoutWindows.draw(held_out, Recipe())
    bits = {name: exam.bits_per_base(read_model(path)) for name, path in paths.items()}
    return {
        "bits_per_base": round(bits["model"], 4),
        "random_twin_bits_per_base": round(bits["random_twin"], 4),
        "markov5_bits_per_base": round(exam.markov_bits_per_base(train.data), 4),
    }


def cut(windows: NDArray[np.uint8], shift: int = 0) -> Sequences:
    """The middle `WIDTH` bp of wider windows, moved by so many bp."""
    part = windows[:, MARGIN + shift : MARGIN + shift + WIDTH]
    return Sequences.from_lengths(part.ravel(), np.full(len(part), WIDTH))


def consistency(embedder: peakatlas.Embedder, windows: NDArray[np.uint8]) -> dict[str, object]:
    """Cosines to the other strand and to windows aside."""
    own = embedder.embed_sequences(cut(windows))
    other = embedder.embed_sequences(cut(windows).reverse_complement())
    aside = {s: judged(own, embedder.embed_sequences(cut(windows, s))) for s in SHIFTS}
    return {
        "strand_consistency": judged(own, other)["centred_cosine"],
        "shift_consistency": {str(s): told["centred_cosine"] for s, told in aside.items()},
    }


def motif_response(
    embedder: peakatlas.Embedder, windows: NDArray[np.uint8], rng: np.random.Generator
) -> dict[str, float]:
    """AUROC of how far a site moves the vector, against its shuffles, by motif and on the mean."""
    plain = embedder.embed_sequences(cut(windows))
    spread = plain.std(axis=0) + 1e-9
    windows, plain = windows[:N_SITES], plain[:N_SITES]
    found = {}
    for name, site in SITES.items():
        letters = np.frombuffer(site.encode(), np.uint8)
        real = np.tile(letters, (len(windows), 1))
        mixed = np.stack([shuffled(letters, rng) for _ in windows])
        far = [
            moved_by(embedder, written(windows, sites), plain, spread) for sites in (real, mixed)
        ]
        side = np.repeat([1, 0], len(windows))
        found[name] = round(float(roc_auc_score(side, np.concatenate(far))), 4)
    return {"mean": round(float(np.mean(list(found.values()))), 4), **found}


def shuffled(letters: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same letters in an order in which at least a third of the places differ."""
    while True:
        order = rng.permutation(letters)
        if np.mean(order != letters) >= 1 / 3:
            return order


def written(windows: NDArray[np.uint8], sites: NDArray[np.uint8]) -> Sequences:
    """The middle of the windows with a site of its own written into each."""
    changed = windows.copy()
    start = (windows.shape[1] - sites.shape[1]) // 2
    changed[:, start : start + sites.shape[1]] = sites
    return cut(changed)


def moved_by(
    embedder: peakatlas.Embedder, sequences: Sequences, plain: Vectors, spread: Vectors
) -> Vectors:
    """Distance of each vector from that of the window as it was, float32, shape (n,)."""
    moved = (embedder.embed_sequences(sequences) - plain) / spread
    return np.asarray(np.linalg.norm(moved, axis=1), np.float32)


def speed(embedder: peakatlas.Embedder, windows: NDArray[np.uint8]) -> float:
    """Peaks of 500 bp a second, one thread."""
    part = windows[np.arange(N_TIMED) % len(windows), MARGIN : MARGIN + 500]
    sequences = Sequences.from_lengths(part.ravel(), np.full(N_TIMED, 500))
    embedder.embed_sequences(sequences.take(np.arange(200)))
    began = time.monotonic()
    embedder.embed_sequences(sequences)
    return round(N_TIMED / (time.monotonic() - began), 1)


def benchmark(data: Path, model: str, seeds: int, motifs: Path | None) -> dict[str, object]:
    """Run all and return the JSON object to print."""
    began, where = time.monotonic(), provenance()
    torch.set_num_threads(1)
    genomes = [data / "genome" / name for name in GENOMES]
    train, held_out = split_genomes(genomes, peakatlas.parse_names([HELD_OUT], source="held out"))
    rng = np.random.default_rng(0)
    windows = WindowSampler(held_out, WIDTH + 2 * MARGIN).draw(N_WINDOWS, rng)
    with tempfile.TemporaryDirectory() as scratch:
        path = find_model(model)[1]
        paths = {"model": path, "random_twin": random_twin(path, Path(scratch))}
        embedders = {
            name: peakatlas.Embedder.load(str(each), device="cpu") for name, each in paths.items()
        }
        own = embedders["model"]
        for layer in range(1, read_model(path).config.num_hidden_layers):
            embedders[f"layer_{layer}"] = peakatlas.Embedder.load(
                str(path), layer=layer, device="cpu"
            )
        sampler = WindowSampler(train, TOKEN_BASES * Recipe().context_tokens)
        teacher = motifs and find_spectrum(VariedWindows(sampler), Recipe(), read_motifs(motifs))
        return {
            "benchmark": "model_quality",
            "model": model,
            "accuracy": accuracies(data, embedders, seeds, teacher),
            "seeds": seeds,
            **losses(paths, train, held_out),
            "motif_response": motif_response(own, windows, rng),
            "random_twin_motif_response": motif_response(embedders["random_twin"], windows, rng),
            **consistency(own, windows),
            "peaks_per_second_per_core": speed(own, windows),
            "seconds": round(time.monotonic() - began, 1),
            "provenance": where,
        }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--model", default="peaklm-v3", help="name or local directory")
    parser.add_argument("--motifs", type=Path, help="JASPAR file that the model was taught with")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data, args.model, args.seeds, args.motifs)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
