"""Names for cells without a reference, from public annotations of elements.

Imports `counts`, `alignment` and `ontology`.
"""
