"""Members of the labeller: each gives query cells a log-score for every reference type."""
