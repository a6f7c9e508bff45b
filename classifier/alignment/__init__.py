"""What brings a reference and a query together: joint axes, the stack of members, composition.

Imports `models` and what lies below.
"""
