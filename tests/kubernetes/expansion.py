"""`$(NAME)` in commands and environments, as the kubelet expands it."""

from __future__ import annotations

from collections.abc import Mapping


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in the place of `$(NAME)`; `$$` is a dollar, an unknown name stays as it is."""
    written: list[str] = []
    position = 0
    while position < len(text):
        rest = text[position:]
        if rest.startswith("$$"):
            written.append("$")
            position += 2
        elif rest.startswith("$(") and ")" in rest:
            name = rest[2 : rest.index(")")]
            written.append(variables.get(name, f"$({name})"))
            position += len(name) + 3
        else:
            written.append(rest[0])
            position += 1
    return "".join(written)
