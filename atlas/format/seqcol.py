"""One digest for a set of contigs, by the rules of GA4GH sequence collections."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_seqcol(genome: Mapping[str, Any]) -> dict[str, Any]:
    """Genome provenance with ``seqcol``, where every contig has a digest.

    Parameters
    ----------
    genome : mapping
        ``contigs`` maps a name to ``{"bp", "digest"}``; an old ``seqcol`` is replaced.
    """
    rest = {key: value for key, value in genome.items() if key != "seqcol"}
    contigs = rest.get("contigs", {})
    if not contigs or not all("digest" in contig for contig in contigs.values()):
        return rest
    digests = {name: str(contig["digest"]) for name, contig in contigs.items()}
    return rest | {"seqcol": seqcol_digest(digests)}


def seqcol_digest(refget: Mapping[str, str]) -> str:
    """Digest of a sequence collection over its inherent attributes, names and sequences.

    Parameters
    ----------
    refget : mapping
        Refget digest ``SQ.…`` of each contig by name, in order.

    References
    ----------
    GA4GH refget sequence collections 1.0: https://ga4gh.github.io/refget/seqcols/

    Examples
    --------
    >>> seqcol_digest({
    ...     "chrX": "SQ.iYtREV555dUFKg2_agSJW6suquUyPpMw",
    ...     "chr1": "SQ.YBbVX0dLKG1ieEDCiMmkrTZFt_Z5Vdaj",
    ...     "chr2": "SQ.AcLxtBuKEPk_7PGE_H4dGElwZHCujwH6",
    ... })
    'XZlrcEGi6mlopZ2uD8ObHkQB1d0oDwKk'
    """
    attributes = {"names": list(refget), "sequences": list(refget.values())}
    return _digest({name: _digest(values) for name, values in attributes.items()})


def _digest(values: object) -> str:
    """Base64url of the first 24 bytes of the SHA-512 of the canonical JSON (RFC 8785)."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(hashlib.sha512(text.encode()).digest()[:24]).decode()
