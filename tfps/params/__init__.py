"""Where parameters lie: placement, initial values, shards; mappings keyed by variables."""
