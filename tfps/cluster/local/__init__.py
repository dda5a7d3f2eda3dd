"""A whole job on this machine: one process per task, none of which outlives it."""
