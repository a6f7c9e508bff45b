"""Cells and labels: from counts and an atlas to annotated cells."""
