"""Building an atlas: from a genome and peaks to finished shards. Imports all but `check`."""
