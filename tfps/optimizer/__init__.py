"""Apply: a ps updates its own shards by the Keras optimizer's rule."""
