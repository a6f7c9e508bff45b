"""Pretrain a small nucleotide language model by masked 6-mer prediction.

This is how the shipped model was made; ``engine/models/peaklm-v1/README.md`` gives the command.
The result is a plain Hugging Face ``EsmForMaskedLM`` directory. Every step draws from
``default_rng([seed, step])``, so a run that was stopped continues as if it had not been.

    python -m peakatlas.engine.pretrain GENOME.fa... --holdout chr20:31512760-63025520 -o MODEL/
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from torch.nn import functional
from transformers import EsmConfig, EsmForMaskedLM

from .genome import open_genome
from .interval_readers import parse_names
from .intervals import Intervals
from .markov import MarkovModel
from .sequences import Sequences
from .tokens import KmerTokenizer, Tokens, kmer_vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[np.frombuffer(b"ACGT", np.uint8)] = np.frombuffer(b"TGCA", np.uint8)
_IS_ACGT = np.isin(np.arange(256), np.frombuffer(b"ACGT", np.uint8))
_EVAL_MINIBATCH = 64


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that shapes a pretraining run."""

    k: int = 6
    """Bases a token."""
    context_tokens: int = 128
    """k-mers a training window, without ``<cls>``."""
    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    ffn_size: int = 768
    minibatch: int = 64
    """Windows a step."""
    steps: int = 6000
    warmup: int = 300
    """Steps of linear warm-up; cosine decay to 5 % of the peak follows."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    mask_rate: float = 0.15
    """Share of tokens predicted: 80 % masked, 10 % replaced, 10 % kept (BERT)."""
    eval_windows: int = 1024
    eval_every: int = 250
    """Steps between held-out losses, each with a checkpoint."""
    seed: int = 0


class WindowSampler:
    """Uniform random N-free windows of given contig stretches, on a random strand.

    Parameters
    ----------
    stretches : Sequences
        DNA to sample from.
    width : int
        Window width in bp.
    """

    def __init__(self, stretches: Sequences, width: int) -> None:
        self.data, self.width = stretches.data, width
        room = np.maximum(np.diff(stretches.offsets) - width + 1, 0)
        self._first, self._room_before = stretches.offsets[:-1], np.cumsum(room) - room
        self._total = int(room.sum())
        if self._total == 0:
            raise ValueError(f"no stretch of DNA is {width} bp long")

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw ``n`` windows as upper-case ASCII, uint8, shape (n, width)."""
        parts: list[NDArray[np.uint8]] = []
        while sum(map(len, parts)) < n:
            where = rng.integers(self._total, size=2 * n)
            stretch = np.searchsorted(self._room_before, where, side="right") - 1
            start = self._first[stretch] + where - self._room_before[stretch]
            windows = self.data[start[:, None] + np.arange(self.width)]
            parts.append(windows[_IS_ACGT[windows].all(axis=1)])
        windows = np.concatenate(parts)[:n]
        flip = rng.random(n) < 0.5
        windows[flip] = _COMPLEMENT[windows[flip, ::-1]]
        return windows


@dataclass(frozen=True)
class MaskedTokens:
    """One minibatch of masked language modelling."""

    inputs: NDArray[np.int64]
    """Shape (n, n_tokens), ``<cls>`` first."""
    targets: NDArray[np.int64]
    """True ids, shape (n, n_tokens)."""
    predicted: NDArray[np.bool_]
    """Which tokens the loss is over, shape (n, n_tokens)."""


def mask_tokens(
    tokens: Tokens,
    tokenizer: KmerTokenizer,
    rate: float,
    rng: np.random.Generator,
    *,
    hide_all: bool = False,
) -> MaskedTokens:
    """Choose the tokens to predict and hide them: 80 % masked, 10 % replaced, 10 % kept.

    Parameters
    ----------
    tokens : Tokens
        Sequences of equal length. ``<cls>`` and the first k-mer are never predicted.
    rate : float
        Share of tokens to predict.
    hide_all : bool
        Mask all of them, so that the loss is over bases that the model was not shown.

    References
    ----------
    Devlin et al., NAACL 2019, doi:10.18653/v1/N19-1423.
    """
    targets = tokens.ids.reshape(len(tokens), -1).astype(np.int64)
    predicted = rng.random(targets.shape) < rate
    predicted[:, :2] = False
    how = rng.random(targets.shape) * (0.8 if hide_all else 1)
    first_kmer = tokenizer.cls_id + 1
    replacement = rng.integers(first_kmer, first_kmer + 4**tokenizer.k, size=targets.shape)
    inputs = np.where(predicted & (how < 0.8), tokenizer.mask_id, targets)
    inputs = np.where(predicted & (how >= 0.8) & (how < 0.9), replacement, inputs)
    return MaskedTokens(inputs, targets, predicted)


def masked_loss(model: EsmForMaskedLM, batch: MaskedTokens) -> torch.Tensor:
    """Mean cross-entropy over the predicted tokens, nats, float32 scalar."""
    inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
    predicted = torch.from_numpy(batch.predicted)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.esm(inputs).last_hidden_state[predicted]
        logits = model.lm_head(hidden)
    return functional.cross_entropy(logits.float(), targets[predicted])


@dataclass(frozen=True)
class Examination:
    """Held-out windows with some tokens hidden, the same for every model.

    Parameters
    ----------
    windows : uint8, shape (n, width)
        Upper-case ASCII, A, C, G, T only.
    tokens : MaskedTokens
        Of the windows; every predicted token is hidden.
    k : int
        Bases a token.
    """

    windows: NDArray[np.uint8]
    tokens: MaskedTokens
    k: int

    @classmethod
    def draw(cls, holdout: Sequences, tokenizer: KmerTokenizer, recipe: Recipe) -> Examination:
        """Draw ``recipe.eval_windows`` windows by the recipe's seed."""
        rng = np.random.default_rng(recipe.seed)
        sampler = WindowSampler(holdout, recipe.k * recipe.context_tokens)
        windows = sampler.draw(recipe.eval_windows, rng)
        tokens = tokenizer.encode(_as_sequences(windows))
        masked = mask_tokens(tokens, tokenizer, recipe.mask_rate, rng, hide_all=True)
        return cls(windows, masked, recipe.k)

    def bits_per_base(self, model: EsmForMaskedLM) -> float:
        """Loss of a model over the hidden k-mers, in bits a base."""
        training = model.training
        model.train(mode=False)
        total, n = 0.0, 0
        with torch.no_grad():
            for first in range(0, len(self.windows), _EVAL_MINIBATCH):
                batch = _rows(self.tokens, slice(first, first + _EVAL_MINIBATCH))
                count = int(batch.predicted.sum())
                total += float(masked_loss(model, batch)) * count
                n += count
        model.train(mode=training)
        return total / n / self.k / float(np.log(2))

    def markov_bits_per_base(self, training: NDArray[np.uint8], order: int = 5) -> float:
        """The same for a Markov model of the training DNA (uint8 ASCII), on the same k-mers."""
        bits = MarkovModel.fit(training, order).bits(self.windows)
        per_token = bits.reshape(len(bits), -1, self.k).sum(axis=2)
        return float(per_token[self.tokens.predicted[:, 1:]].mean() / self.k)


def learning_rate(step: int, recipe: Recipe) -> float:
    """Learning rate of a step: linear warm-up, then cosine decay to 5 % of the peak."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return float(recipe.learning_rate * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * done))))


class Pretraining:
    """A resumable run in one directory: checkpoint, log and, at the end, the model.

    Parameters
    ----------
    train, holdout : Sequences
        DNA to learn from and DNA that is only evaluated on.
    out : Path
        Model directory; ``out/checkpoint.pt`` and ``out/training_log.jsonl`` live there.
    """

    def __init__(self, train: Sequences, holdout: Sequences, out: Path, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.out, self.step = recipe, out, 0
        self.tokenizer = KmerTokenizer(kmer_vocabulary(recipe.k), "mask")
        self.sampler = WindowSampler(train, recipe.k * recipe.context_tokens)
        self.model = EsmForMaskedLM(_config(recipe, self.tokenizer))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
        )
        self.examination = Examination.draw(holdout, self.tokenizer, recipe)
        out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self) -> None:
        """Train up to ``recipe.steps``, then write the model directory."""
        self.model.train()
        started, first, losses = time.monotonic(), self.step, []
        while self.step < self.recipe.steps:
            losses.append(self._train_step())
            if self.step % self.recipe.eval_every == 0 or self.step == self.recipe.steps:
                seconds = (time.monotonic() - started) / (self.step - first)
                self._log(train_loss=float(np.mean(losses)), seconds_per_step=seconds)
                self._save_checkpoint()
                losses = []
        self._save_model()

    def _train_step(self) -> float:
        rng = np.random.default_rng([self.recipe.seed, self.step])
        windows = self.sampler.draw(self.recipe.minibatch, rng)
        tokens = self.tokenizer.encode(_as_sequences(windows))
        loss = masked_loss(
            self.model, mask_tokens(tokens, self.tokenizer, self.recipe.mask_rate, rng)
        )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.recipe)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return float(loss.detach())

    def _log(self, **values: float) -> None:
        bits = self.examination.bits_per_base(self.model)
        entry = {"step": self.step, "holdout_bits_per_base": bits, **values}
        entry = {key: round(value, 5) for key, value in entry.items()}
        with (self.out / "training_log.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")
        typer.echo(json.dumps(entry))

    def _save_checkpoint(self) -> None:
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = self.out / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.out / "checkpoint.pt")

    def _resume(self) -> None:
        file = self.out / "checkpoint.pt"
        if not file.exists():
            return
        state = torch.load(file, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise typer.BadParameter(f"{file} was made by another recipe: {state['recipe']}")
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _save_model(self) -> None:
        bits = self.examination.bits_per_base(self.model)
        markov = self.examination.markov_bits_per_base(self.sampler.data)
        summary = {
            "bits_per_base": round(bits, 4),
            "markov5_bits_per_base": round(markov, 4),
            "recipe": asdict(self.recipe),
        }
        (self.out / "pretraining.json").write_text(json.dumps(summary, indent=1) + "\n")
        (self.out / "vocab.txt").write_text("\n".join(self.tokenizer.vocab) + "\n")
        rule = {"partial_kmers": self.tokenizer.partial_kmers}
        (self.out / "tokenizer_config.json").write_text(json.dumps(rule) + "\n")
        self.model.half().save_pretrained(self.out)  # type: ignore[no-untyped-call]
        typer.echo(json.dumps(summary))


def _config(recipe: Recipe, tokenizer: KmerTokenizer) -> EsmConfig:
    config = EsmConfig(
        vocab_size=len(tokenizer.vocab),
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.ffn_size,
        max_position_embeddings=2 * recipe.context_tokens + 2,
        position_embedding_type="rotary",
        token_dropout=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_id,
        mask_token_id=tokenizer.mask_id,
        eos_token_id=None,
    )
    config._attn_implementation = "eager"  # on CPU faster than SDPA at these lengths
    return config


def _rows(batch: MaskedTokens, rows: slice) -> MaskedTokens:
    return MaskedTokens(batch.inputs[rows], batch.targets[rows], batch.predicted[rows])


def _as_sequences(windows: NDArray[np.uint8]) -> Sequences:
    n, width = windows.shape
    return Sequences(windows.ravel(), np.arange(n + 1, dtype=np.int64) * width)


def split_genomes(
    genomes: Sequence[Path], holdout: Intervals, min_width: int = 1000
) -> tuple[Sequences, Sequences]:
    """Whole contigs as training and held-out stretches.

    Parameters
    ----------
    genomes : sequence of Path
        FASTA files.
    holdout : Intervals
        Stretches never trained on, named as in the FASTA files.
    min_width : int
        Shorter stretches are left out, in bp.

    Returns
    -------
    train, holdout : Sequences

    Raises
    ------
    ValueError
        If a held-out contig is in none of the files, or there is none.
    """
    train: list[str] = []
    held_out: list[str] = []
    for path in genomes:
        source = open_genome(path)
        for chrom, size in source.contig_sizes.items():
            whole = source.fetch(Intervals.from_columns([chrom], [0], [size]))[0]
            here = holdout.take(holdout.chrom == chrom)
            edges = [0, *np.sort(np.concatenate([here.start, here.end])).tolist(), size]
            pieces = [whole[a:b] for a, b in pairwise(edges)]
            train += [piece for piece in pieces[::2] if len(piece) >= min_width]
            held_out += pieces[1::2]
    if len(held_out) != len(holdout) or not held_out:
        raise ValueError(f"{len(held_out)} of {len(holdout)} held-out stretches found")
    return Sequences.from_strings(train), Sequences.from_strings(held_out)


def main(
    genomes: Annotated[list[Path], typer.Argument(help="FASTA files to learn from.")],
    holdout: Annotated[list[str], typer.Option(help="chr:start-end never trained on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model directory.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = Recipe.steps,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = Recipe.seed,
) -> None:
    """Pretrain a masked 6-mer model; the same command again continues a stopped run."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    train, held_out = split_genomes(genomes, parse_names(holdout, "--holdout"))
    options: dict[str, Any] = {"steps": steps, "seed": seed}
    Pretraining(train, held_out, out, Recipe(**options)).run()


if __name__ == "__main__":
    typer.run(main)
