"""A job on Vertex AI: what the API is asked for, and the asking."""
