"""The one class to hold: peaks or sequences in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.dna.windows import parse_window
from peakatlas.engine.forward.pooling import mean_by_owner, mean_of_strands, rows_without_tokens
from peakatlas.engine.models.loading import config_digest, find_model, load_model, weights_digest
from peakatlas.engine.run.distributed import default_device
from peakatlas.engine.run.packs import PackRunner
from peakatlas.engine.run.peak_blocks import BLOCK_PEAKS, PeakBlock, PeakBlocks
from peakatlas.engine.run.pipeline import run_pipeline
from peakatlas.engine.run.token_budget import choose_budget
from peakatlas.engine.tokens.reader import Reader

from .embeddings import PeakEmbeddings, require_finite
from .errors import ModelError, SpecMismatchError
from .spec import MAX_N_FRACTION, EmbeddingSpec
from .summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.intervals.table import Intervals
    from peakatlas.engine.models.encoder import LoadedModel
    from peakatlas.engine.models.table import ModelCard
    from peakatlas.engine.run.packs import Launched

    from .spec import Pooling, Precision, Strand

# Longest window that a measurement of speed takes, in tokens.
_SAMPLE_TOKENS = 170


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Rows of a table on their way through the pipeline."""

    number: int
    peaks: Intervals
    out: PeakEmbeddings
    rows: slice


class Embedder(Summary):
    """A loaded model with the rules that make an embedding: window, strand, layer, pooling.

    On a CPU the embedding of a sequence by an ESM-type model is the same to the bit whatever is
    embedded with it, in whatever order, with any token budget and number of threads. Other models
    take sequences of equal length together, in batches of one size; they too came out the same in
    every test.

    Parameters
    ----------
    model : LoadedModel
    spec : EmbeddingSpec
        Identity of the embeddings.
    card : ModelCard
    token_budget : int
        Most tokens in one pack.

    Examples
    --------
    >>> import peakatlas
    >>> embedder = peakatlas.Embedder.load("peaklm-v3")
    >>> peaks = peakatlas.read_bed("peaks.bed").take([0, 1])
    >>> embedder.embed(peaks, peakatlas.open_genome("hg38.fa.gz")).values.shape
    (2, 64)
    """

    def __init__(
        self, model: LoadedModel, spec: EmbeddingSpec, card: ModelCard, token_budget: int
    ) -> None:
        self.spec = spec
        self.card = card
        self.peaks_done, self.tokens_done, self.flops_done = 0, 0, 0.0
        self._model = model
        self._window = parse_window(spec.window)
        self._runner = PackRunner(
            model,
            pooling=spec.pooling,
            layer=spec.layer,
            dim=spec.dim,
            token_budget=token_budget,
        )
        reader = Reader(
            tokenizer=model.tokenizer,
            model=card.name,
            context_tokens=card.context_tokens,
            learnt_positions=model.learnt_positions,
            strand=spec.strand,
            max_n_fraction=spec.max_n_fraction,
        )
        self._blocks = PeakBlocks(self._window, reader, self._runner)

    def _summary(self) -> tuple[str, dict[str, object]]:
        rules = f"{self.spec.window}, strand {self.spec.strand}, pooling {self.spec.pooling}"
        device = f"{self.device}, {self.spec.precision}"
        facts = {"dimensions": self.spec.dim, "rules": rules, "device": device}
        licence = {"parameters": self.card.n_parameters, "licence": self.card.licence}
        return f"Embedder {self.card.name!r}", facts | licence

    @property
    def device(self) -> torch.device:
        """Device that holds the model."""
        return self._model.encoder.device

    @classmethod
    def load(  # noqa: PLR0913 (the public options)
        cls,
        model: str = "peaklm-v3",
        *,
        window: str | None = None,
        precision: Precision = "bf16",
        strand: Strand = "forward",
        pooling: Pooling = "mean",
        layer: int = -1,
        max_n_fraction: float | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        token_budget: int | None = None,
        device: str | None = None,
    ) -> Embedder:
        """Load a model by name, hub id or local directory.

        Parameters
        ----------
        model : str
            Name in the model table, hub id, or a directory with config.json, safetensors weights
            and the tokenizer's files.
        window : str, optional
            ``centre:<bp>`` or ``peak:<max bp>:<overlap bp>``; the model's default if not given.
        precision : {'bf16', 'fp32'}
        strand : {'forward', 'both'}
            ``both`` is the mean of both strands' vectors.
        pooling : {'mean', 'cls'}
        layer : int
            -1 is the last layer after the final norm; k from 0 to the number of layers - 1 is
            the output of layer k, 0 that of the embedding table.
        max_n_fraction : float, optional
            Windows with a greater share of letters other than A, C, G, T are left out: 0.5.
        revision : str, optional
            Branch, tag or commit of a hub model.
        trust_remote_code : bool
            Whether the model's own Python code may be run; needs a commit as `revision` if the
            model comes from the hub.
        token_budget : int, optional
            Most tokens in one pack; by default what the model is fastest with (measured for a
            second on a GPU). Halved when a GPU runs out of memory. Does not change the result.
        device : str, optional
            ``cpu``, ``cuda``, ``cuda:1``, …; a GPU if there is one, each local rank its own.

        Raises
        ------
        ModelError
            If the model cannot be found, loaded or trusted, or an option does not fit it, such as
            a centre window that is longer than it reads.
        IntervalError
            If `window` is not a window rule.
        """
        card, path = find_model(model, revision=revision, trust_remote_code=trust_remote_code)
        where = torch.device(device or default_device())
        rule = parse_window(window or card.default_window)
        loaded = load_model(card, path, precision, where, trust_remote_code=trust_remote_code)
        _check_options(layer, pooling, loaded)
        spec = EmbeddingSpec(
            model=card.name,
            weights_sha256=weights_digest(path),
            tokenizer_sha256=loaded.tokenizer.digest,
            dim=loaded.encoder.dim if layer < 0 else loaded.encoder.width,
            layer=layer,
            pooling=pooling,
            strand=strand,
            window=str(rule),
            precision=precision,
            config_sha256=config_digest(card, path),
            max_n_fraction=MAX_N_FRACTION if max_n_fraction is None else max_n_fraction,
        )
        embedder = cls(loaded, spec, card, token_budget or loaded.encoder.pack_tokens)
        if token_budget is None and where.type == "cuda":
            embedder._measure_budget()
        if rule.kind == "centre":  # every window will be so long
            embedder._blocks.plan(Sequences.from_strings(["A" * rule.width]))
        return embedder

    @classmethod
    def for_spec(
        cls,
        spec: EmbeddingSpec,
        *,
        model: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        device: str | None = None,
    ) -> Embedder:
        """Load the model of an atlas with the atlas's rules.

        Parameters
        ----------
        spec : EmbeddingSpec
        model : str, optional
            Name, hub id or local directory; the name in the spec if not given.
        revision, trust_remote_code, device
            As in `load`.

        Raises
        ------
        ModelError
            If the model cannot be found, loaded or trusted.
        SpecMismatchError
            If it is another model; names what differs.
        """
        loaded = cls.load(
            model or spec.model,
            window=spec.window,
            precision=spec.precision,
            strand=spec.strand,
            pooling=spec.pooling,
            layer=spec.layer,
            max_n_fraction=spec.max_n_fraction,
            revision=revision,
            trust_remote_code=trust_remote_code,
            device=device,
        )
        if loaded.spec != spec:
            raise SpecMismatchError(
                f"{model or spec.model} is not the model that was asked for "
                f"({spec.difference(loaded.spec)}). Give the folder or hub revision that it is in."
            )
        return loaded

    def embed_sequences(
        self,
        sequences: Sequences,
        owner: NDArray[np.int64] | None = None,
        n: int | None = None,
    ) -> NDArray[np.float32]:
        """Embed sequences as they are, without cutting windows.

        Parameters
        ----------
        sequences : Sequences
            m sequences.
        owner : int64, shape (m,), optional
            Output row of each sequence; sequences of one row are averaged, weighted by their
            real tokens. One row a sequence when not given.
        n : int, optional
            Number of output rows; m when `owner` is not given, else its largest value + 1.

        Returns
        -------
        float32, shape (n, dim)
            NaN where every sequence of a row is richer in N than the spec allows.

        Raises
        ------
        ModelError
            If a sequence is longer than the model's context, or the model gives NaN or infinity.
        """
        rows = np.arange(len(sequences)) if owner is None else np.asarray(owner, np.int64)
        size = n if n is not None else int(rows.max(initial=-1)) + 1
        launched = tuple(map(self._runner.launch, self._blocks.plan(sequences)))
        return self._collect(launched, rows, size)[0]

    def count_tokens(self, peaks: Intervals, source: SequenceSource) -> int:
        """Tokens that the model would read for peaks, the first 1024 of them at most."""
        first = self._blocks.prepare(peaks, source, slice(0, min(BLOCK_PEAKS, len(peaks))))
        return sum(len(strand.tokens.ids) for strand in first.strands)

    def embed(
        self,
        peaks: Intervals,
        source: SequenceSource,
        progress: Callable[[int], None] | None = None,
    ) -> PeakEmbeddings:
        """Embed peaks: cut windows, read their DNA, run the model.

        Parameters
        ----------
        peaks : Intervals
            n peaks in any order.
        source : SequenceSource
            Genome, or FASTA of peaks.
        progress : callable, optional
            Called with the number of peaks done since its last call, from another thread.

        Returns
        -------
        PeakEmbeddings
            Row i belongs to peak i.

        Raises
        ------
        ContigError
            If a contig is not in `source`.
        GenomeError
            If a peak ends past its contig, or is in no record of a FASTA of peaks.
        ModelError
            If a window is longer than the model's context, or the model gives NaN or infinity.
        """
        found: list[PeakEmbeddings] = []
        self.embed_many([(0, peaks)], source, lambda _, made: found.append(made), progress)
        return found[0]

    def embed_many(
        self,
        tables: Iterable[tuple[int, Intervals]],
        source: SequenceSource,
        done: Callable[[int, PeakEmbeddings], None],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Embed tables of peaks one after the other; the model does not stop between them.

        Parameters
        ----------
        tables : iterable of (int, Intervals)
            A number of your own for each table; taken up only when it is its turn.
        source : SequenceSource
            Genome, or FASTA of peaks.
        done : callable
            Called with the number and the embeddings of each table, perhaps from another thread.
        progress : callable, optional
            As in `embed`.

        Raises
        ------
        ContigError, GenomeError, ModelError
            As `embed`.
        """

        def parts() -> Iterator[_Part]:
            for number, peaks in tables:
                source.check(peaks)
                out = PeakEmbeddings.empty(len(peaks), self.spec.dim)
                for rows in self._blocks.rows(peaks, source):
                    yield _Part(number=number, peaks=peaks, out=out, rows=rows)
                if not len(peaks):
                    done(number, out)

        def store(launched: tuple[_Part, PeakBlock, tuple[Launched, ...]]) -> None:
            part, block, strands = launched
            rows, out = part.rows, part.out
            n = rows.stop - rows.start
            out.values[rows], out.masked[rows] = self._collect(strands, block.owner, n)
            out.digests[rows], out.n_fraction[rows] = block.digests, block.n_fraction
            if progress is not None:
                progress(n)
            if rows.stop == len(part.peaks):
                done(part.number, out)

        run_pipeline(
            parts(),
            prepare=lambda part: (part, self._blocks.prepare(part.peaks, source, part.rows)),
            compute=lambda pair: (*pair, tuple(map(self._runner.launch, pair[1].strands))),
            consume=store,
        )

    def _measure_budget(self) -> None:
        """Choose the budget by the time that packs of several sizes take on the device."""
        bp = min(self._window.width, int(_SAMPLE_TOKENS / self._blocks.tokens_per_letter))
        dna = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(0).integers(0, 4, bp)]
        tokens = self._blocks.plan(Sequences.from_lengths(dna, [bp]))[0].tokens

        self._runner.token_budget = choose_budget(
            lambda budget: self._runner.seconds(tokens.repeat(max(1, budget // len(tokens.ids))))
        )

    def _collect(
        self, launched: tuple[Launched, ...], owner: NDArray[np.int64], n: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of launched packs, averaged by strand and owner, and which rows have none."""
        values = [self._runner.collect(strand) for strand in launched]
        tokens = [strand.tokens for strand in launched]
        self.peaks_done += n
        self.tokens_done += sum(len(strand.ids) for strand in tokens)
        self.flops_done += sum(self._runner.flops(strand) for strand in tokens)
        mean, weights = mean_of_strands(values, list(map(self._runner.n_real, tokens)))
        masked = rows_without_tokens(weights, owner, n)
        rows = mean_by_owner(mean, weights, owner, n)
        require_finite(rows[~masked], self.card.name)
        return rows, masked


def _check_options(layer: int, pooling: Pooling, model: LoadedModel) -> None:
    if not -1 <= layer < model.n_layers:
        raise ModelError(
            f"layer {layer} is not -1 (the last, after the final norm) nor from 0 to "
            f"{model.n_layers - 1} for this model"
        )
    if pooling == "cls" and not model.leading_cls:
        raise ModelError("this model's tokenizer puts no CLS token first. Use pooling mean.")
