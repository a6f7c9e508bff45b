"""Sequences: FASTA files, windows, k-mers and motifs. May import `intervals`."""
