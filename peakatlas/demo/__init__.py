"""The packaged demonstration: real DNA, simulated cells."""
