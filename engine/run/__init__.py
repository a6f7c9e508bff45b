"""Running a model: blocks, packs, copies, pipeline, ranks. May import `models` and what it may."""
