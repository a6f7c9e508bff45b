"""Cell types in the words of the Cell Ontology. Imports errors only."""
