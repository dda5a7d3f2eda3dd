"""Renderings as YAML and JSON."""

from __future__ import annotations

import json

import pytest
import yaml

from tfps.jobs.rendering import Rendering, write

SHARED = {"a": [1, 2]}
KUBERNETES = Rendering(
    documents=({"apiVersion": "v1", "x": SHARED}, {"apiVersion": "v1", "y": SHARED})
)
ONE = Rendering(documents=({"text": "a\nb\n", "long": "word " * 60, "yes": "no", "n": "1e3"},))


@pytest.mark.parametrize("rendering", [KUBERNETES, ONE])
def test_yaml_reads_back_as_it_was(rendering: Rendering) -> None:
    text = write(rendering, "yaml")
    assert tuple(yaml.safe_load_all(text)) == rendering.documents
    assert text.endswith("\n")
    assert "&" not in text  # What occurs twice is written twice.


def test_yaml_breaks_no_lines() -> None:
    lines = write(ONE, "yaml").splitlines()
    assert len(lines) == 6
    assert lines[:3] == ["text: |", "  a", "  b"]


def test_json_of_kubernetes_objects_is_a_list_that_kubectl_takes() -> None:
    written = json.loads(write(KUBERNETES, "json"))
    assert (written["apiVersion"], written["kind"]) == ("v1", "List")
    assert written["items"] == list(KUBERNETES.documents)


def test_json_of_one_document_is_the_document() -> None:
    assert json.loads(write(ONE, "json")) == ONE.documents[0]


def test_json_of_other_documents_is_an_array() -> None:
    assert json.loads(write(Rendering(documents=({"a": 1}, {"b": 2})), "json")) == [
        {"a": 1},
        {"b": 2},
    ]
