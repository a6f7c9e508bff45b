"""The packed forward pass: packs, layers, attention, pooling. Imports errors only."""
