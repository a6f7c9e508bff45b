"""Finding rows: look-ups by interval and neighbours by embedding."""
