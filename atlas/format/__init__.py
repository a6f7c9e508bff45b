"""The layout on disk: documents, arrays and shards, read and written. May import `storage`."""
