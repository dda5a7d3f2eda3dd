"""Recipes: whole jobs on tfps's public API, to run, read and copy."""
