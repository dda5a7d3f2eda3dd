"""README, docs/ and the other pages: what they name exists, and README is short."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
HEADER = [
    *("feature", "plain Keras 3 (one process)"),
    *("tf_keras 2.21 on TensorFlow's ParameterServerStrategy", "tfps", "test"),
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """A page without code, in which brackets and number signs mean something else."""
    text = FENCE.sub("", page.read_text())
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def links(page: Path) -> Iterator[str]:
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page))):
        if not re.match(r"https?:|mailto:", target):
            yield target


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub, and the site, give the headings of a page."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", LINK.sub("", heading).lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)


def is_broken(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return not file.exists() or bool(anchor and anchor not in anchors(file))


def code() -> Iterator[tuple[Path, str]]:
    """Everything on the pages that is written as code, with its page."""
    for page in PAGES:
        for text in re.findall(
            r"^```.*?^```|^    [^\n]+$|`[^`\n]+`", page.read_text(), re.M | re.S
        ):
            yield page, text


def named(pattern: str) -> Iterator[tuple[str, str]]:
    """What code on the pages names by the group of a pattern, with the page's name."""
    for page, text in code():
        for name in re.findall(pattern, text):
            yield str(page.relative_to(ROOT)), name


def test_links_lead_to_files_and_headings_that_exist() -> None:
    assert {p.name for p in PAGES} >= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "wire.md"}
    assert [(p.name, x) for p in PAGES for x in links(p) if is_broken(p, x)] == []


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        *(("docs/wire.md#codecs", False), ("docs/images/step.svg", False), ("#in-25-lines", False)),
        *(("docs/none.md", True), ("docs/wire.md#none", True), ("#none", True)),
    ],
)
def test_a_link_is_broken_without_its_file_or_heading(target: str, broken: bool) -> None:
    assert is_broken(ROOT / "README.md", target) == broken


def test_pages_of_the_site_link_to_pages_of_the_site() -> None:
    outside = [
        (page.name, target)
        for page in DOCS.rglob("*.md")
        for target in links(page)
        if not (page.parent / target.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert outside == []


def test_every_page_of_the_site_is_in_an_index_and_in_the_navigation() -> None:
    indices = [DOCS / "README.md", DOCS / "api" / "README.md"]
    listed = {(index.parent / target).resolve() for index in indices for target in links(index)}
    assert set(DOCS.rglob("*.md")) - listed - {indices[0]} == set()
    navigation = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(DOCS / name for name in navigation) == sorted(DOCS.rglob("*.md"))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_commands_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    subcommands = {path.stem for path in (ROOT / "tfps" / "cli").glob("*.py")}
    made = list(named(r"(?m)(?:^`|^    )make ([a-z][\w-]*)"))
    run = list(named(r"(?m)(?:^`|^    |-- )(?:\S*/)?tfps ([a-z]\w+)"))
    assert {name for _, name in made} >= {"train", "test", "docs"}
    assert {name for _, name in run} >= {"local", "doctor", "submit"}
    assert [(page, name) for page, name in made if name not in targets] == []
    assert [(page, name) for page, name in run if name not in subcommands] == []


def test_modules_that_the_pages_run_exist() -> None:
    modules = [x for x in named(r"-m ((?:models|benchmarks|tests)[\w.]*)")]
    assert {name for _, name in modules} >= {"models.gpt_lm", "benchmarks.compare"}
    places = [(page, ROOT / name.replace(".", "/")) for page, name in modules]
    missing = [
        (page, path)
        for page, path in places
        if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists()
    ]
    assert missing == []


def test_files_and_names_of_the_internals_exist() -> None:
    text = (DOCS / "internals.md").read_text()
    source = "\n".join(path.read_text() for path in (ROOT / "tfps").rglob("*.py"))
    names = set(re.findall(r"(?:`|::)([A-Z]\w+|\w+_\w+|receipt)\b[^`/]*`", text))
    assert len(names) > 20
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", source)] == []
    files = set(re.findall(r"`([\w/]+\.py)", text))
    assert len(files) > 30
    assert [file for file in sorted(files) if not (ROOT / "tfps" / file).exists()] == []
    assert len(text.splitlines()) < 200


def test_the_reference_is_of_names_that_exist() -> None:
    names = [
        n
        for p in (DOCS / "api").glob("*.md")
        for n in re.findall(r"^::: (\S+)$", p.read_text(), re.M)
    ]
    assert len(names) > 20
    assert [name for name in names if not is_defined(name)] == []


def is_defined(name: str) -> bool:
    """Whether the source defines or imports a dotted name; nothing is imported."""
    path = ROOT / name.replace(".", "/")
    if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
        return True
    module, _, last = name.rpartition(".")
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (
        file.exists()
        and re.search(rf"(class|def|import) .*\b{last}\b", file.read_text()) is not None
    )


def test_the_site_is_built_with_pinned_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements-docs.lock").read_text()
    pins = {canonicalize_name(line.split("==")[0]) for line in lock.splitlines()}
    wanted = {Requirement(r).name for r in project["optional-dependencies"]["docs"]}
    assert {canonicalize_name(name) for name in wanted} <= pins


def tables() -> list[list[list[str]]]:
    """The cells of each table of keras-contract.md, line by line."""
    found: list[list[list[str]]] = []
    in_table = False
    for line in (DOCS / "keras-contract.md").read_text().splitlines():
        if line.startswith("|"):
            if not in_table:
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        in_table = line.startswith("|")
    return found


def rows() -> list[list[str]]:
    return [row for table in tables() for row in table[2:]]


@functools.cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_all_tables_of_the_contract_have_the_same_columns() -> None:
    assert [table[0] for table in tables()] == [HEADER] * len(tables())
    assert {len(row) for table in tables() for row in table} == {len(HEADER)}


def test_a_row_of_the_contract_says_what_tfps_does_and_names_tests_that_exist() -> None:
    assert len(rows()) > 90
    for feature, plain, legacy, ours, tests in rows():
        assert feature
        assert plain, feature
        assert re.match(r"yes|wrong: |fails: |no such feature|not tried", legacy), feature
        assert re.match(r"yes|rows touched only|refused: ", ours), feature
        assert re.fullmatch(rf"{TEST.pattern}(<br>{TEST.pattern})*", tests), feature
        for file, test in TEST.findall(tests):
            assert test in functions(ROOT / file), f"{feature}: {file} has no {test}"


def test_no_feature_is_listed_twice() -> None:
    features = [row[0] for row in rows()]
    assert len(set(features)) == len(features)
