"""Hosts that ssh reaches: a job's tasks run there, under a supervisor here."""
