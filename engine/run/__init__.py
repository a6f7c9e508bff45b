"""Running the engine: pipeline, ranks, progress and throughput. Imports all its other rooms."""
