"""The report page of an annotation."""
