"""How the shipped model was made: a small nucleotide language model, pretrained on any genome."""
