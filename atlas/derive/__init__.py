"""Atlases made from atlases: merged, subset, quantised."""
