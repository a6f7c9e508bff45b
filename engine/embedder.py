"""The one class to hold: peaks or sequences in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .errors import ModelError
from .forward import group_lengths
from .models.loading import find_model, load_encoder, weights_digest
from .packing import pack
from .pipeline import run_pipeline
from .pooling import first_token, segment_mean
from .sequences import Sequences
from .spec import EmbeddingSpec
from .tokens import KmerTokenizer
from .windows import combine_digests, parse_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .forward import PackedEncoder
    from .genome import SequenceSource
    from .intervals import Intervals
    from .models.table import ModelCard
    from .spec import Pooling, Precision, Strand
    from .tokens import Tokens

_BLOCK_PEAKS = 1024
# A CPU is fastest on packs that stay in its caches; a GPU wants long ones.
_TOKEN_BUDGET = {"cpu": 1536, "cuda": 65_536}
_NOT_REAL = ("<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", "N")


@dataclass(frozen=True, kw_only=True)
class PeakEmbeddings:
    """Embeddings of a table of peaks, in its order."""

    values: NDArray[np.float32]
    """Shape (n, dim); a row of NaN where the window holds no A, C, G or T at all."""
    digests: NDArray[np.uint8]
    """BLAKE2b-128 of the peak's forward window sequence(s), shape (n, 16)."""
    n_fraction: NDArray[np.float32]
    """Share of the window's letters that are not A, C, G or T, shape (n,)."""


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Peaks on their way through the pipeline."""

    rows: slice
    owner: NDArray[np.int64]
    digests: NDArray[np.uint8]
    n_fraction: NDArray[np.float32]
    strands: tuple[Tokens, ...]


class Embedder:
    """A loaded model with the rules that make an embedding: window, strand, layer, pooling.

    On a CPU the embedding of a sequence is the same to the bit whatever is embedded with it, in
    whatever order, with any token budget and number of threads.

    Parameters
    ----------
    encoder : PackedEncoder
    tokenizer : KmerTokenizer
    spec : EmbeddingSpec
        Identity of the embeddings.
    card : ModelCard
    token_budget : int
        Most tokens in one pack.

    Examples
    --------
    >>> embedder = Embedder.load("peaklm-v1")  # doctest: +SKIP
    >>> embedder.embed(read_bed("peaks.bed"), open_genome("hg38.fa")).values  # doctest: +SKIP
    """

    def __init__(
        self,
        encoder: PackedEncoder,
        tokenizer: KmerTokenizer,
        spec: EmbeddingSpec,
        card: ModelCard,
        token_budget: int,
    ) -> None:
        self.spec = spec
        self.card = card
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._window = parse_window(spec.window)
        self._token_budget = token_budget
        self._real = np.array([token not in _NOT_REAL for token in tokenizer.vocab], np.bool_)

    @classmethod
    def load(  # noqa: PLR0913 (the public options)
        cls,
        model: str = "peaklm-v1",
        *,
        window: str | None = None,
        precision: Precision = "bf16",
        strand: Strand = "forward",
        pooling: Pooling = "mean",
        layer: int = -1,
        token_budget: int | None = None,
        device: str | None = None,
    ) -> Embedder:
        """Load a model by name, hub id or local directory.

        Parameters
        ----------
        model : str
            Name in the model table, hub id, or a directory with config.json, safetensors weights
            and vocab.txt.
        window : str, optional
            ``centre:<bp>`` or ``peak:<max bp>:<overlap bp>``; the model's default if not given.
        precision : {'bf16', 'fp32'}
        strand : {'forward', 'both'}
            ``both`` is the mean of both strands' vectors.
        pooling : {'mean', 'cls'}
        layer : int
            -1 is the last layer after the final norm; k from 0 to the number of layers - 1 is
            the output of layer k, 0 that of the embedding table.
        token_budget : int, optional
            Most tokens in one pack: 1536 on a CPU, 65536 on a GPU. Does not change the result.
        device : str, optional
            ``cpu``, ``cuda``, ``cuda:1``, …; a GPU if there is one.

        Raises
        ------
        ModelError
            If the model cannot be found, loaded or trusted, or an option does not fit it.
        IntervalError
            If `window` is not a window rule.
        """
        card, path = find_model(model)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        rule = parse_window(window or card.default_window)
        tokenizer = KmerTokenizer.from_directory(path)
        encoder = load_encoder(card, path, precision, where)
        _check_layer(layer, encoder)
        spec = EmbeddingSpec(
            model=card.name,
            weights_sha256=weights_digest(path),
            tokenizer_sha256=tokenizer.digest,
            dim=encoder.dim,
            layer=layer,
            pooling=pooling,
            strand=strand,
            window=str(rule),
            precision=precision,
        )
        return cls(encoder, tokenizer, spec, card, token_budget or _TOKEN_BUDGET[where.type])

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
            NaN where a row has no A, C, G or T.

        Raises
        ------
        ModelError
            If a sequence is longer than the model's context.
        """
        rows = np.arange(len(sequences)) if owner is None else np.asarray(owner, np.int64)
        size = n if n is not None else int(rows.max(initial=-1)) + 1
        return self._embed_strands(self._tokenise(sequences), rows, size)

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
            If a window is longer than the model's context.
        """
        source.check(peaks)
        out = PeakEmbeddings(
            values=np.empty((len(peaks), self.spec.dim), np.float32),
            digests=np.empty((len(peaks), 16), np.uint8),
            n_fraction=np.empty(len(peaks), np.float32),
        )

        def store(done: tuple[_Block, NDArray[np.float32]]) -> None:
            block, out.values[block.rows] = done
            out.digests[block.rows] = block.digests
            out.n_fraction[block.rows] = block.n_fraction
            if progress is not None:
                progress(block.rows.stop - block.rows.start)

        run_pipeline(
            range(0, len(peaks), _BLOCK_PEAKS),
            prepare=lambda first: self._prepare(peaks, source, first),
            compute=lambda block: (
                block,
                self._embed_strands(block.strands, block.owner, len(block.digests)),
            ),
            consume=store,
        )
        return out

    def _prepare(self, peaks: Intervals, source: SequenceSource, first: int) -> _Block:
        rows = slice(first, min(first + _BLOCK_PEAKS, len(peaks)))
        block = peaks.take(np.arange(rows.start, rows.stop))
        cut = self._window.cut(block, source.contig_sizes)
        dna = source.fetch(cut.intervals)
        n_letters = np.bincount(cut.owner, dna.lengths, len(block))
        n_unknown = np.bincount(cut.owner, dna.n_fraction() * dna.lengths, len(block))
        return _Block(
            rows=rows,
            owner=cut.owner,
            digests=combine_digests(dna.digests(), cut.owner, len(block)),
            n_fraction=(n_unknown / np.maximum(n_letters, 1)).astype(np.float32),
            strands=self._tokenise(dna),
        )

    def _tokenise(self, sequences: Sequences) -> tuple[Tokens, ...]:
        readable = self._within_context(sequences)
        strands = [readable]
        if self.spec.strand == "both":
            strands.append(readable.reverse_complement())
        return tuple(self._tokenizer.encode(strand) for strand in strands)

    def _within_context(self, sequences: Sequences) -> Sequences:
        """The same, with windows emptied that only their N (a token each) make too long.

        Learnt positions end at the context; rotary ones do not, so there N may exceed it.
        """
        limit = self.card.context_tokens
        longest, most = int(sequences.lengths.max(initial=0)), (limit - 1) * self._tokenizer.k
        if longest > most:
            raise ModelError(
                f"a sequence has {longest} bp, {self.card.name} reads at most {most} bp. "
                "Ask for shorter windows, such as peak:510:60."
            )
        if self._encoder.positions is None:
            return sequences
        fits = self._tokenizer.encode(sequences).lengths <= limit
        kept = np.repeat(fits, sequences.lengths)
        return Sequences.from_lengths(sequences.data[kept], sequences.lengths * fits)

    def _embed_strands(
        self, strands: tuple[Tokens, ...], owner: NDArray[np.int64], n: int
    ) -> NDArray[np.float32]:
        values = [self._vectors(tokens) for tokens in strands]
        mean = values[0] if len(values) == 1 else (values[0] + values[1]) * np.float32(0.5)
        weights = np.add.reduceat(
            np.append(self._real[strands[0].ids], False).astype(np.int64), strands[0].offsets[:-1]
        ) if len(strands[0]) else np.empty(0, np.int64)  # fmt: skip
        return _mean_by_owner(mean, weights, owner, n)

    def _vectors(self, tokens: Tokens) -> NDArray[np.float32]:
        """One pooled vector a sequence, float32, shape (m, dim)."""
        out = np.empty((len(tokens), self.spec.dim), np.float32)
        for rows in pack(tokens.lengths, self._token_budget):
            out[rows] = self._pooled(tokens, rows)
        return out

    def _pooled(self, tokens: Tokens, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        ids = np.concatenate([tokens[row] for row in rows.tolist()])
        groups = group_lengths(tokens.lengths[rows].tolist())
        device = self._encoder.device
        hidden = self._encoder.hidden(
            torch.from_numpy(ids).to(device), groups, layer=self.spec.layer
        )
        real = torch.from_numpy(self._real[ids]).to(device)
        mean = segment_mean(hidden, real, groups)
        if self.spec.pooling == "cls":
            mean = torch.where(mean.isnan(), mean, first_token(hidden, groups))
        return np.asarray(mean.cpu().numpy(), np.float32)


def _check_layer(layer: int, encoder: PackedEncoder) -> None:
    if not -1 <= layer < len(encoder.layers):
        raise ModelError(
            f"layer {layer} is not -1 (the last, after the final norm) nor from 0 to "
            f"{len(encoder.layers) - 1} for this model"
        )


def _mean_by_owner(
    values: NDArray[np.float32], weights: NDArray[np.int64], owner: NDArray[np.int64], n: int
) -> NDArray[np.float32]:
    """Weighted mean of the vectors of each row; a row with one vector keeps it to the bit."""
    known = weights > 0
    counts = np.bincount(owner[known], minlength=n)
    out = np.full((n, values.shape[1]), np.nan, np.float32)
    single = known & (counts[owner] == 1)
    out[owner[single]] = values[single]
    several = np.flatnonzero(known & ~single)
    sums = np.zeros_like(out)
    np.add.at(sums, owner[several], values[several] * weights[several, None].astype(np.float32))
    total = np.bincount(owner[several], weights[several], n)
    averaged = counts > 1
    out[averaged] = sums[averaged] / total[averaged, None].astype(np.float32)
    return out
