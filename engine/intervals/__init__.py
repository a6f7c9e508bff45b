"""Tables of genomic intervals: readers, contig names, overlaps, lift-over. Imports errors only."""
