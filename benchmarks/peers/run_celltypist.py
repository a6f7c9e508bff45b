"""CellTypist as its guide on custom models has it; runs in the peer's own environment.

Counts normalised to 10,000 a cell and log1p; one pass of the default logistic regression (for up
to 100,000 cells); best match, and the same with majority voting over the query's clusters.
"""

import celltypist
import scanpy as sc
from exchange import LABELS, read_job, write_labels

job = read_job()
for side in (job.reference, job.query):
    sc.pp.normalize_total(side, target_sum=1e4)
    sc.pp.log1p(side)
model = celltypist.train(job.reference, labels=LABELS, random_state=job.seed)
found = celltypist.annotate(job.query, model=model, majority_voting=not job.plain).predicted_labels
variants = {} if job.plain else {"majority_voting": found["majority_voting"]}
write_labels(job, label=found["predicted_labels"], **variants)
