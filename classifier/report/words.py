"""A report in plain words: what was asked and answered, what to mind, how to run it again."""

from __future__ import annotations

import html
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.counts.labels import UNASSIGNED
from peakatlas.classifier.trust.weights import member_shares
from peakatlas.engine.documents import as_model
from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .record import Inputs

MEMBER_WORDS = {
    "noise_aware": "discriminant that knows its noise",
    "lda": "linear discriminant",
    "logistic": "logistic regression",
    "multinomial": "multinomial over peaks",
    "dna": "profiles from DNA",
    "terms": "profiles from annotated elements",
    "network": "alignment network",
    "own_peaks": "peaks that the reference lacks",
    "adapted_multinomial": "multinomial, refitted on the query",
    "adapted_logistic": "logistic regression, refitted on the query",
}
LEAST_WEIGHT = 0.01
ELEMENT_OPTIONS = ("elements", "build", "elements_chain")


def summary_of(record: Mapping[str, Any], confidence: NDArray[np.float32]) -> str:
    """What was asked and answered, in one paragraph.

    Parameters
    ----------
    record : dict
        Kept in ``uns["peakatlas"]``.
    confidence : float32, shape (n_cells,)
    """
    cells, bundle = record["cells"], record["bundle"]
    opened = record["labels"].get(UNASSIGNED, 0)
    ranked = sorted(record["labels"].items(), key=lambda item: -item[1])
    named = [f"{name} ({size / cells:.0%})" for name, size in ranked if name != UNASSIGNED][:3]
    return (
        f"{cells:,} cells of {record['query']} were compared {_means(record)} with "
        f"{bundle['cells']:,} labelled cells of {len(record['types'])} types from "
        f"{bundle['reference']}. {cells - opened:,} cells ({1 - opened / cells:.0%}) got a type, "
        f"mostly {', '.join(named) or 'none'}; {opened:,} stay Unassigned{_reasons(record)}. "
        f"The median confidence is {float(np.median(confidence)):.2f}. {_evidence(record)}"
    )


def _reasons(record: Mapping[str, Any]) -> str:
    """How many cells are open for each reason, in brackets."""
    sizes = sorted(record["unassigned"].items(), key=lambda item: -item[1])
    return f" ({', '.join(f'{n:,} {reason}' for reason, n in sizes)})" if sizes else ""


def _means(record: Mapping[str, Any]) -> str:
    if member_shares(record["labeller"]).get("dna", 0) > LEAST_WEIGHT:
        return "by their accessibility and the DNA of their peaks"
    return "by their accessibility"


def _evidence(record: Mapping[str, Any]) -> str:
    known = f"{record['shared_counts']:.0%} of the counts lie in peaks that the reference knows."
    if record["spec"] is None:
        return known
    with_embedding = record["peaks"] - record["tiers"].get("missing", 0)
    return f"{with_embedding:,} of {record['peaks']:,} peaks have an embedding, and {known}"


SEVERITIES = {"problem": "Problem", "caution": "Caution"}


def alerts_in(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Alerts of a record; its warnings as cautions if an earlier version wrote it."""
    alerts: list[dict[str, str]] = record.get("alerts") or [
        {"severity": "caution", "text": text} for text in record.get("warnings", ())
    ]
    return alerts


def advice_html(record: Mapping[str, Any]) -> str:
    """Alerts as a list, the most severe first: what was seen, then what to do.

    Parameters
    ----------
    record : mapping
        Kept in ``uns["peakatlas"]``.
    """
    alerts = alerts_in(record)
    if not alerts:
        return (
            '<p class="calm">Nothing unusual was seen in peaks, depth, composition, held-out cells '
            "and the numbers of novel and uncertain cells.</p>"
        )
    items = []
    for severity, label in SEVERITIES.items():
        for alert in alerts:
            if alert["severity"] == severity:
                items.append(_alert_html(severity, label, alert["text"]))
    return f'<ul class="warnings" aria-label="Alerts">{"".join(items)}</ul>'


def _alert_html(severity: str, label: str, text: str) -> str:
    seen, _, remedy = text.partition(". ")
    stop = "" if seen.endswith(".") else "."
    advice = f" <span>{html.escape(remedy)}</span>" if remedy else ""
    return (
        f'<li class="{severity}"><strong>{label}: {html.escape(seen)}{stop}</strong>{advice}</li>'
    )


def labeller_words(found: Mapping[str, Any]) -> list[str]:
    """How the cells were labelled and how well that is expected to work; one sentence each.

    Parameters
    ----------
    found : mapping
        ``record["labeller"]``.
    """
    by = "whole batches" if found["pseudo_queries"].get("by") == "batch" else "random parts"
    said = [
        f"Reference cells were held out ({by}), made as shallow as the query and shown on its "
        f"peaks alone. Of these {found['accuracy']:.0%} were labelled rightly (macro-F1 "
        f"{found['macro_f1']:.2f}), and confidence was off by {found['ece']:.2f} in the mean.",
        _members(found),
    ]
    if found["composition"].get("used"):
        said.append("The proportions of types were estimated from the query itself.")
    if not found.get("converged", True):
        said.append("The fit of the weights did not converge: treat the confidence with care.")
    return said


def member_weights(found: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Members in words and their shares of the weight, the heaviest first.

    Parameters
    ----------
    found : mapping
        ``record["labeller"]``.
    """
    shares = [(MEMBER_WORDS.get(name, name), share) for name, share in member_shares(found).items()]
    return sorted(shares, key=lambda item: -item[1])


def _members(found: Mapping[str, Any]) -> str:
    named = [f"{name} {share:.0%}" for name, share in member_weights(found) if share > LEAST_WEIGHT]
    return f"What labelled the cells, by weight: {', '.join(named) or 'none'}."


def rerun(record: Mapping[str, Any], inputs: Inputs) -> dict[str, str]:
    """The command line and the Python call that annotate the same query again.

    Parameters
    ----------
    record : mapping
        Kept in ``uns["peakatlas"]``.
    inputs : Inputs
        Text of others as it is: quoted for the shell in one, as Python text in the other.
    """
    changed = _changed(record["options"])
    needs_atlas = record["spec"] is not None
    query, bundle = inputs.query or "query.h5ad", inputs.bundle or "bundle/"
    atlas = inputs.atlas or ("atlas.zarr" if needs_atlas else None)
    genome = inputs.genome
    words = ["peakatlas", "annotate", query, "--bundle", bundle]
    words += ["--atlas", atlas] if atlas else []
    words += ["--genome", genome] if genome else []
    read = record.get("read", {})
    words += ["--layer", read["layer"]] if read.get("layer") else []
    words += ["--use-raw"] if read.get("use_raw") else []
    words += ["--mod", read["mod"]] if read.get("mod") else []
    words += _given(read, ELEMENT_OPTIONS)
    for name, value in changed.items():
        words += _flag(name, value)
    words += ["-o", "annotated.h5ad", "--report", "report.html"]
    options = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    sources = {"atlas": atlas, "genome": genome}
    sources |= {name: read.get(name) for name in ("layer", "use_raw", "mod")}
    named = [f"{name}={value!r}" for name, value in sources.items() if value]
    given = ", ".join([repr(query), repr(bundle), *named])
    asked = f",\n    options=AnnotateOptions({options})" if options else ""
    imported = "from peakatlas.classifier.annotate import AnnotateOptions\n" if options else ""
    python = (
        f"import peakatlas\n{imported}\nannotated = peakatlas.annotate(\n    {given}{asked},\n)"
    )
    train = _train_command(record, bundle, atlas)
    return {"command": shlex.join(words), "python": python, "train": train}


def _train_command(record: Mapping[str, Any], bundle: str, atlas: str | None) -> str:
    """The line that trained the bundle, as far as the bundle knows it."""
    made = record.get("bundle", {})
    read, options = made.get("read", {}), made.get("options", {})
    references = [str(part.get("source", "")) for part in made.get("references", ())]
    words = ["peakatlas", "train", *(references or [str(made.get("reference", "reference.h5ad"))])]
    words += ["--labels", str(made.get("labels_key", "cell_type"))]
    words += ["--batch-key", str(made["batch_key"])] if made.get("batch_key") else []
    words += ["--atlas", atlas] if atlas else []
    names = ("genome", "chain", "layer", "mod", "max_offset", *ELEMENT_OPTIONS)
    words += _given(read, names)
    words += [
        f"--{name.replace('_', '-')}" for name in ("match_contigs", "use_raw") if read.get(name)
    ]
    words += ["--method", str(options["method"])] if options.get("method") == "network" else []
    words += ["--ontology"] if options.get("ontology") else []
    words += ["--labels-table", "labels.tsv"] if options.get("label_terms") else []
    words += ["--lineages"] if options.get("lineages") else []
    words += ["--seed", str(made["seed"])] if made.get("seed") else []
    return shlex.join([*words, "-o", bundle])


def _given(read: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of the options that were given, with their values."""
    pairs = [(f"--{name.replace('_', '-')}", read.get(name)) for name in names]
    return [str(word) for pair in pairs if pair[1] is not None for word in pair]


def _changed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that there are, and that are not as they are by default."""
    from peakatlas.classifier.annotate import AnnotateOptions  # noqa: PLC0415 - imports the whole classifier

    usual = vars(AnnotateOptions())
    known = {name: value for name, value in options.items() if name in usual}
    asked = as_model(known, AnnotateOptions, "the options of the annotation", CountsError)
    return {name: value for name, value in vars(asked).items() if usual[name] != value}


def _flag(name: str, value: object) -> list[str]:
    if name == "reject":
        return ["--assign-all"]
    flag = "--" + name.replace("_", "-")
    return [flag] if value is True else [flag, str(value)]
