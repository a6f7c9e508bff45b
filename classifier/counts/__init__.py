"""Cells by peaks: count matrices, fragments, references and labels, read and checked."""
