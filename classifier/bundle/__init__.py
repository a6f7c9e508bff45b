"""A trained classifier on disk."""
