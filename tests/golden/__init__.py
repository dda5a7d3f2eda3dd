"""Files that tests compare with, and `python -m tests.golden`, which writes them anew."""
