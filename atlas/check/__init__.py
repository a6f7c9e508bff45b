"""Checking and mending an atlas. The top room of the atlas: may import all others."""
