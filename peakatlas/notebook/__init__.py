"""For notebooks: results in an AnnData, figures on matplotlib Axes."""
