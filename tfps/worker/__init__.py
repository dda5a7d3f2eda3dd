"""What a worker keeps between steps: its own copies, caches, sums and random state."""
