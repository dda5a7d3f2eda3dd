"""Keras's fit, evaluate and predict, and loops of one's own, on the chief."""
