"""What travels between a worker and a ps, coded and counted."""
