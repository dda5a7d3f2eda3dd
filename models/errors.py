"""The one error that a recipe reports instead of a traceback."""


class InputError(ValueError):
    """What the user gave cannot be used; the message says which value, and what to do."""
