"""Read images that lie in shards: tar files and Parquet, on a disk or in an object store."""
