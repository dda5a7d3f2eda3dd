"""Keras's fit, evaluate and predict over the coordinator: data, metrics, callbacks."""
