"""From DNA to token ids. May import `dna`."""
