"""What is fitted on reference cells: pseudo-queries, and the labeller that they fit.

Imports `trust`, `alignment`, `models` and `counts`.
"""
