"""The step of a worker: pull, compute, push, apply, and the program made of the four."""
