"""Where parameters live: partitioners, placement, initial values, shards."""
