"""The packed forward pass: packs, layers, attention, pooling. May import `tokens`."""
