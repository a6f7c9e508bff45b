"""A resumable pretraining run: one directory with checkpoint, log and, at the end, the model.

Two things are learnt at once from random windows of both strands: hidden tokens are told from what
is around them (masked language modelling), and the embedding tells the window's spectrum of k-mers
and motifs (`spectrum`), of windows shown whole and of windows with hidden tokens alike.

Every step draws from ``default_rng([seed, step])``, so a run that was stopped goes on as if it had
not been. Under ``torchrun`` or ``accelerate launch`` the windows of a step are dealt out to the
processes and gradients are summed.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save

from peakatlas.engine.dna.genome_cache import written_whole
from peakatlas.engine.errors import ModelError
from peakatlas.engine.models.letter_network import LetterModel
from peakatlas.engine.models.table import PACKAGED
from peakatlas.engine.pretrain.allocation import keep_freed_memory
from peakatlas.engine.run.distributed import RankState
from peakatlas.engine.tokens.letters import TOKEN_BASES, letter_codes

from .evaluation import HoldoutWindows, masked_loss
from .masking import hide_tokens
from .motif_bank import MotifBank, read_motifs
from .spectrum import fit_spectrum
from .varied_windows import VariedWindows
from .windows import WindowSampler, inputs_digests, split_genomes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from peakatlas.engine.dna.sequences import Sequences
    from peakatlas.engine.intervals.table import Intervals

    from .masking import MaskedTokens
    from .recipe import Recipe
    from .spectrum import Spectrum

SUMMARY = "pretraining.json"
ALONE = RankState(rank=0, world_size=1, device="cpu")
_CLIP = 1.0
_BACKGROUND_WINDOWS = 400
_TRANSFORMERS_KEYS = ("architectures", "auto_map", "dtype")
"""What config.json says to `transformers` alone."""


def pretrain(
    genomes: Sequence[Path],
    holdout: Intervals,
    out: Path,
    recipe: Recipe,
    *,
    motifs: Path | None = None,
    state: RankState = ALONE,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Pretrain a model on genomes, or go on with a run that was stopped.

    Parameters
    ----------
    genomes : sequence of Path
        FASTA files, whole contigs.
    holdout : Intervals
        Stretches that are never trained on, named as in the files.
    out : Path
        Model directory.
    recipe : Recipe
    motifs : Path, optional
        Motifs in JASPAR format.
    state : RankState
        This process among those that share the work.
    progress : callable, optional
        See `Pretraining.run`.

    Returns
    -------
    dict
        What ``pretraining.json`` holds.

    Raises
    ------
    GenomeError
        If a held-out stretch or enough DNA is not there.
    ModelError
        If the motifs cannot be read, or `out` holds a run of another recipe.
    """
    train, held_out = split_genomes(genomes, holdout)
    counts = None if motifs is None else read_motifs(motifs)
    run = Pretraining(train, held_out, out, recipe, counts, state)
    keep_freed_memory()
    run.run(progress)
    summary: dict[str, Any] = json.loads((out / SUMMARY).read_text()) if state.is_main else {}
    return summary


class Pretraining:
    """One run.

    Parameters
    ----------
    train, holdout : Sequences
        DNA to learn from and DNA that is only evaluated on.
    out : Path
        Model directory; ``checkpoint.pt`` and ``training_log.jsonl`` lie there.
    recipe : Recipe
    motifs : dict of name to float64, shape (4, width), optional
        Count matrices that the embedding learns to tell, as `motif_bank.read_motifs` gives them.
    state : RankState
        This process among those that share the work.

    Raises
    ------
    ModelError
        If the directory holds a run of another recipe, genome, holdout or motifs, or there are more
        processes than windows that teach the embedding.
    """

    def __init__(
        self,
        train: Sequences,
        holdout: Sequences,
        out: Path,
        recipe: Recipe,
        motifs: dict[str, NDArray[np.float64]] | None = None,
        state: RankState = ALONE,
    ) -> None:
        if state.world_size > 2 * recipe.clean_windows:
            raise ModelError(
                f"{state.world_size} processes cannot share the {2 * recipe.clean_windows} windows "
                "of a step that teach the embedding. Start fewer."
            )
        torch.manual_seed(recipe.seed)
        self.recipe, self.out, self.step, self.state = recipe, out, 0, state
        self.sampler = WindowSampler(train, TOKEN_BASES * recipe.context_tokens)
        self.device = torch.device(state.device)
        self.model = LetterModel(recipe.network).to(self.device)
        self.optimizers = make_optimizers(self.model, recipe)
        self.holdout = HoldoutWindows.draw(holdout, recipe)
        self.varied = VariedWindows(self.sampler)
        self.spectrum = find_spectrum(self.varied, recipe, motifs)
        self.inputs = inputs_digests(train, holdout, motifs)
        out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, progress: Callable[[dict[str, float]], None] | None = None) -> None:
        """Train up to ``recipe.steps``, then write the model directory.

        Parameters
        ----------
        progress : callable, optional
            Called after each step with ``step`` and ``loss`` (of hidden tokens, nats), and with the
            held-out figures where there are new ones.
        """
        began, first, losses = time.monotonic(), self.step, []
        while self.step < self.recipe.steps:
            losses.append(self.train_step())
            told = {"step": float(self.step), "loss": float(losses[-1][0])}
            if self.step % self.recipe.eval_every == 0 or self.step == self.recipe.steps:
                seconds = (time.monotonic() - began) / (self.step - first)
                told |= self._log(losses, seconds)
                self._save_checkpoint()
                losses = []
            if progress is not None:
                progress(told)
        if self.state.is_main:
            self._save_model()

    def train_step(self) -> NDArray[np.float64]:
        """One step: loss of hidden tokens and of the embedding, shape (2,)."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, self.step])
        taught = self.varied.draw(2 * recipe.clean_windows, rng)
        n_others = recipe.minibatch - len(taught)
        codes = np.concatenate([taught, letter_codes(self.sampler.draw(n_others, rng))])
        batch = hide_tokens(codes, recipe.mask_rate, rng, n_shown=recipe.clean_windows)
        n_hidden = int(batch.hidden.sum())
        is_taught = np.arange(recipe.minibatch) < len(taught)
        mine = slice(self.state.rank, None, self.state.world_size)
        loss = self._losses(batch.rows(mine), codes[mine][is_taught[mine]], n_hidden)
        total = loss[0] + recipe.embedding_weight * loss[1]
        total.backward()  # type: ignore[no-untyped-call]
        told = torch.stack([part.detach() for part in loss])
        self._sum_over_ranks(
            [told, *(w.grad for w in self.model.parameters() if w.grad is not None)]
        )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * recipe.share_of_peak(self.step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return told.cpu().double().numpy()

    def _losses(
        self, batch: MaskedTokens, taught: NDArray[np.uint8], n_hidden: int
    ) -> tuple[Tensor, Tensor]:
        """Shares of this process in the losses of the step: hidden tokens, and the embedding.

        The first windows of the minibatch are those whose letters are `taught`.
        """
        first = slice(0, len(taught))
        with torch.autocast(self.device.type, torch.bfloat16):
            hidden = self.model.hidden(torch.from_numpy(batch.inputs).to(self.device))
            told = self.model.embedding(hidden[first]).float()
            masked = masked_loss(self.model, hidden, batch) / n_hidden
        seen = torch.from_numpy(~batch.hidden[first]).to(self.device)
        error = told - self.spectrum.targets(taught).to(self.device)
        by_token = error[seen].square().sum(-1).mean() / self.spectrum.token_variance
        mean = (error * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
        by_window = mean.square().sum(-1).mean() / self.spectrum.variance
        share = len(taught) / (2 * self.recipe.clean_windows)
        return masked, (by_token + by_window) * share

    def _sum_over_ranks(self, tensors: list[Tensor]) -> None:
        if self.state.world_size > 1:
            sum_over_ranks(tensors)

    def _log(self, losses: list[NDArray[np.float64]], seconds: float) -> dict[str, float]:
        masked, embedding = np.mean(losses, axis=0)
        entry = {
            "holdout_bits_per_base": self.holdout.bits_per_base(self.model),
            "train_loss": float(masked),
            "embedding_loss": float(embedding),
            "seconds_per_step": seconds,
        }
        entry = {key: round(value, 5) for key, value in entry.items()}
        if self.state.is_main:
            with (self.out / "training_log.jsonl").open("a") as log:
                log.write(json.dumps({"step": self.step, **entry}) + "\n")
        return entry

    def _save_checkpoint(self) -> None:
        if not self.state.is_main:
            return
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "inputs": self.inputs,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self.optimizers],
        }
        with written_whole(self.out / "checkpoint.pt") as file:
            torch.save(state, file)

    def _resume(self) -> None:
        file = self.out / "checkpoint.pt"
        if not file.exists():
            return
        state = torch.load(file, weights_only=True, map_location=self.device)
        if state["recipe"] != asdict(self.recipe):
            raise ModelError(f"{file} was made by another recipe: {state['recipe']}")
        before = state.get("inputs", {})
        changed = [name for name, digest in self.inputs.items() if before.get(name) != digest]
        if changed:
            raise ModelError(
                f"{file} was made with another {' and '.join(changed)}. Give that again, or "
                "another directory."
            )
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        for (optimizer, _), saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    def _save_model(self) -> None:
        summary = {
            "bits_per_base": round(self.holdout.bits_per_base(self.model), 4),
            "markov5_bits_per_base": round(self.holdout.markov_bits_per_base(self.sampler.data), 4),
            "motifs": len(self.spectrum.bank.names) if self.spectrum.bank else 0,
            "recipe": asdict(self.recipe),
        }
        (self.out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n")
        write_model(self.model, self.out)


def sum_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Add up tensors of one dtype over all ranks, in place, by a single message.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of the same shapes on every rank.
    """
    together = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(together)
    parts = torch.split(together, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def find_spectrum(
    varied: VariedWindows, recipe: Recipe, motifs: dict[str, NDArray[np.float64]] | None
) -> Spectrum:
    """What the embedding is taught, found on windows of the training DNA.

    Parameters
    ----------
    varied : VariedWindows
        Of windows of whole tokens.
    recipe : Recipe
    motifs : dict of name to float64, shape (4, width), optional
    """
    rng = np.random.default_rng([recipe.seed, 0, 1])
    background = letter_codes(varied.sampler.draw(_BACKGROUND_WINDOWS, rng))
    bank = MotifBank.build(motifs, background) if motifs else None
    codes = varied.draw(recipe.spectrum_windows, rng)
    return fit_spectrum(codes, bank, recipe.network.embedding_size, rng)


def write_model(model: LetterModel, out: Path) -> None:
    """Write config.json, float16 weights, and the code that `transformers` runs them with."""
    shipped = PACKAGED / "peaklm-v3"
    names = json.loads((shipped / "config.json").read_text())
    config = model.config.to_json() | {key: names[key] for key in _TRANSFORMERS_KEYS}
    (out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    for file in (*sorted(shipped.glob("*.py")), shipped / "tokenizer_config.json"):
        shutil.copyfile(file, out / file.name)
    state = model.state_dict()
    weights = {name: value.half().cpu().contiguous() for name, value in state.items()}
    with written_whole(out / "model.safetensors") as held:
        held.write(save(weights, {"format": "pt"}))


def make_optimizers(
    model: LetterModel, recipe: Recipe
) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices between layers, AdamW for all else, each with its peak rate.

    References
    ----------
    Jordan et al. 2024, kellerjordan.github.io/posts/muon (Muon); Loshchilov and Hutter, ICLR 2019
    (AdamW).
    """
    inner = [
        weight
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and name.startswith(("layers.", "stem.mix"))
    ]
    chosen = {id(weight) for weight in inner}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    adam = torch.optim.AdamW(
        others, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
    )
    if recipe.muon_learning_rate == 0:
        adam.add_param_group({"params": inner})
        return [(adam, recipe.learning_rate)]
    muon = torch.optim.Muon(inner, weight_decay=recipe.weight_decay, momentum=0.95)
    return [(muon, recipe.muon_learning_rate), (adam, recipe.learning_rate)]
