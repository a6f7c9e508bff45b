"""Commands of the command line, by subject; each module has a typer application."""
