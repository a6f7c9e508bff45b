"""Every error that peakatlas raises on purpose.

PeakAtlasError
├── IntervalError (ValueError)        a BED line, peak name or interval that cannot be used
├── GenomeError (ValueError)          FASTA missing, truncated, or of another build
│   └── ContigError                   a contig that the genome or atlas does not have
├── ModelError (ValueError)           a checkpoint that cannot be loaded or fails its self-check
├── WorldSizeError (RuntimeError)     fewer or more processes than were asked for
├── AtlasError (ValueError)           a store that is not an atlas, or is damaged
│   ├── IncompleteAtlasError          shards are missing
│   ├── ShardOwnershipError           a shard written by someone who does not own it
│   └── SpecMismatchError             embeddings of different specs would be mixed
├── CountsError (ValueError)          a cell × peak matrix that cannot be used
│   └── LabelsError                   labels that are absent or too few
├── BundleError (ValueError)          a classifier bundle that is damaged or does not fit
└── MissingDependencyError (ImportError)   an optional package is not installed
"""


class PeakAtlasError(Exception):
    """Base of all errors raised on purpose; its text says what, where and the remedy.

    Examples
    --------
    >>> import peakatlas
    >>> try:
    ...     peakatlas.parse_names(["chr1:600-100"])
    ... except peakatlas.PeakAtlasError as error:
    ...     print(isinstance(error, ValueError))
    True
    """


class IntervalError(PeakAtlasError, ValueError):
    """A BED line, peak name or interval cannot be used."""


class GenomeError(PeakAtlasError, ValueError):
    """A FASTA file is missing, truncated, or of another build."""


class ContigError(GenomeError):
    """A contig is not in the genome or the atlas."""


class ModelError(PeakAtlasError, ValueError):
    """A checkpoint cannot be loaded or fails its self-check."""


class WorldSizeError(PeakAtlasError, RuntimeError):
    """The number of processes is not the one that was asked for."""


class AtlasError(PeakAtlasError, ValueError):
    """A store is not an atlas, or is damaged."""


class IncompleteAtlasError(AtlasError):
    """Shards are missing from an atlas."""


class ShardOwnershipError(AtlasError):
    """A shard was about to be written by someone who does not own it."""


class SpecMismatchError(AtlasError):
    """Embeddings of different specs would be mixed."""


class CountsError(PeakAtlasError, ValueError):
    """A cell × peak matrix cannot be used."""


class LabelsError(CountsError):
    """Cell labels are absent or too few."""


class BundleError(PeakAtlasError, ValueError):
    """A classifier bundle is damaged or does not fit the atlas."""


class MissingDependencyError(PeakAtlasError, ImportError):
    """An optional package is not installed."""
