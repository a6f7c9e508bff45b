"""Models: the table of cards (free of torch), and one loader a family."""

from .table import MODELS, ModelCard

__all__ = ["MODELS", "ModelCard"]
