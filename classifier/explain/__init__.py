"""What carries a type: elements, words of DNA, motifs."""
