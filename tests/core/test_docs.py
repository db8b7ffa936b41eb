"""What exists is documented, and what is documented exists."""

from __future__ import annotations

import ast
import inspect
import json
import re
from functools import cache
from pathlib import Path

import pytest

from sync import errors
from sync.policy import Policy, choices
from sync.presets import PRESETS, applied
from sync.settings import NAMES
from sync.storage import CONTAINER, POISON, QUEUES, TABLES
from tests.web.web_world import description

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

# The rows of the requirement list: letter and number of the last one.
ROWS = {
    "A": 33,
    "B": 12,
    "C": 11,
    "D": 24,
    "E": 9,
    "F": 4,
    "G": 6,
    "H": 27,
    "I": 5,
    "J": 16,
    "K": 3,
    "L": 6,
    "M": 4,
    "N": 5,
    "O": 3,
    "P": 14,
    "QC": 5,
    "R": 10,
    "S": 4,
    "T": 9,
    "U": 13,
    "V": 4,
    "W": 18,
}
WHERE = re.compile(r"`[^`]+`|part\b|not yet\b|never\b")


def text(name: str) -> str:
    """A document of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def documents() -> tuple[Path, ...]:
    """Every Markdown file that belongs to the repository."""
    tops = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [path for top in tops for path in sorted(top.rglob("*.md")) if "node_modules" not in path.parts]
    return (*sorted(ROOT.glob("*.md")), *found)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_explained(name: str) -> None:
    assert f"`{name}`" in text("docs/settings.md")


def test_no_setting_is_explained_that_does_not_exist() -> None:
    explained = re.findall(r"^\| `([A-Za-z_]+)` \|", text("docs/settings.md"), re.MULTILINE)

    of_the_platform = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT"}
    assert sorted(explained) == sorted({*NAMES, *of_the_platform})


def policy_rows() -> list[tuple[str, str, str]]:
    """Path, default and rows of docs/policy.md."""
    found = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| `(.+?)` \|.+\|(.+)\|$", text("docs/policy.md"), re.MULTILINE)
    return [(path, default, rows.strip()) for path, default, rows in found]


def test_every_choice_of_the_policy_is_explained_in_its_order_with_its_default() -> None:
    explained = [(path, json.loads(default)) for path, default, _ in policy_rows()]

    assert explained == list(choices(Policy()).items())


def test_every_choice_of_the_policy_names_a_row_of_the_requirements() -> None:
    known = {f"{letter}{number}" for letter, last in ROWS.items() for number in range(1, last + 1)}

    assert policy_rows()
    assert not [path for path, _, rows in policy_rows() if not rows or not known.issuperset(rows.split(", "))]


def test_every_value_a_choice_may_have_is_explained() -> None:
    page = text("docs/policy.md")
    schema = Policy.model_json_schema()
    words = {word for section in schema["$defs"].values() for word in re.findall(r"'enum': (\[.+?\])", str(section))}

    assert words
    assert not [
        word for listed in words for word in ast.literal_eval(listed) if not re.search(rf"[`\"]{word}[`\"]", page)
    ]


def test_every_preset_is_explained_with_what_sets_it_apart() -> None:
    told = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", text("docs/policy.md"), re.MULTILINE))

    assert {*told, "safe"} == set(PRESETS)
    for name, said in told.items():
        differs = applied(PRESETS[name], Policy()) != Policy()
        assert differs != said.startswith("nothing"), name


def error_classes() -> list[str]:
    """Every error the product raises on purpose."""
    return [name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)]


@pytest.mark.parametrize("name", error_classes())
def test_every_error_is_explained(name: str) -> None:
    assert f"`{name}`" in text("docs/errors.md")


def test_no_error_is_explained_that_does_not_exist() -> None:
    explained = re.findall(r"^\| `([A-Za-z]+)` \|", text("docs/errors.md"), re.MULTILINE)

    assert set(explained) <= set(error_classes())


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_is_explained_with_its_poison_queue(queue: str) -> None:
    assert f"`{queue}`" in text("docs/functions.md")
    assert f"`{queue}{POISON}`" in text("docs/functions.md")


@pytest.mark.parametrize("name", [*TABLES, CONTAINER])
def test_every_table_and_the_container_are_explained_with_their_keys(name: str) -> None:
    assert f"`{name}`" in text("docs/architecture.md")


@pytest.mark.parametrize("name", [*TABLES, *QUEUES, *(queue + POISON for queue in QUEUES), CONTAINER])
def test_a_deployment_is_told_everything_it_has_to_create(name: str) -> None:
    assert f"`{name}`" in text("infra/README.md")


def function_names() -> list[str]:
    """The functions of function_app.py: decorated ones at the top of the module."""
    body = ast.parse(text("function_app.py")).body
    return [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("app." in ast.unparse(d) for d in node.decorator_list)
    ]


def test_every_function_is_explained_and_no_other() -> None:
    explained = re.findall(r"^\| `([a-z_]+)` \|", text("docs/functions.md"), re.MULTILINE)

    assert function_names()
    assert sorted(explained) == sorted(function_names())


def test_every_route_is_explained_and_no_other() -> None:
    described = description()["paths"].items()

    routes = {f"{method.upper()} {path}" for path, methods in described for method in methods}
    explained = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", text("docs/functions.md"), re.MULTILINE)

    assert sorted(explained) == sorted({*routes, "GET /api/openapi.json"})


def test_every_make_target_is_explained() -> None:
    targets = re.findall(r"^([a-z]+):.*## ", text("Makefile"), re.MULTILINE)
    readme = text("README.md")

    assert {"run", "test", "check", "bench", "soak"} <= set(targets)
    assert not [target for target in targets if f"`make {target}" not in readme]


def test_every_file_of_the_product_stands_in_the_architecture_page() -> None:
    page = text("docs/architecture.md")
    files = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "sync").rglob("*.py"))]

    missing = [
        file for file in files if not file.endswith("__init__.py") and f"`{file.removeprefix('sync/')}`" not in page
    ]

    assert not missing, f"{missing}: add them to the table of layers."


@pytest.mark.parametrize("number", range(1, 13))
def test_every_invariant_has_its_paragraph_and_stands_in_the_readme(number: int) -> None:
    assert len(re.findall(rf"^## I{number}\b", text("docs/invariants.md"), re.MULTILINE)) == 1
    assert re.search(rf"\bI{number}\b", text("README.md"))


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]

    broken = [link for link in local if not _resolves(document, link)]

    assert not broken


def _resolves(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists() or not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def feature_rows() -> list[tuple[str, str, str, str]]:
    """Row, what, where and test of docs/features.md."""
    lines = re.findall(r"^\| ([A-Z]+[0-9]+) \|(.+)\|(.+)\|(.+)\|$", text("docs/features.md"), re.MULTILINE)
    return [(row, what.strip(), where.strip(), test.strip()) for row, what, where, test in lines]


def test_every_row_of_the_requirements_has_exactly_one_line_in_its_order() -> None:
    wanted = [f"{letter}{number}" for letter, last in ROWS.items() for number in range(1, last + 1)]

    assert [row for row, *_ in feature_rows()] == wanted


def test_every_row_says_where_it_lives_or_why_it_does_not() -> None:
    silent = [row for row, what, where, _ in feature_rows() if not what or not WHERE.search(where)]

    assert not silent


def test_every_file_a_row_names_exists() -> None:
    named = {
        (row, name) for row, _, where, _ in feature_rows() for name in re.findall(r"`([\w./]+/[\w./]+|\w+\.py)`", where)
    }

    assert named
    assert not sorted((row, name) for row, name in named if not (ROOT / name).exists())


def test_every_test_a_row_names_exists() -> None:
    missing = []
    for row, _, _, tests in feature_rows():
        if tests == "-":
            continue
        for name in tests.split(", "):
            path, _, function = name.strip("`").partition("::")
            file = ROOT / path
            if not file.is_file() or (f"def {function}(" not in file.read_text(encoding="utf-8") and function):
                missing.append((row, name))

    assert not missing


def test_no_document_promises_a_file_of_the_repository_that_is_not_there() -> None:
    missing = []
    for document in documents():
        named = re.findall(
            r"`((?:sync|dev|tests|bench|docs|infra|requirements)/[\w./-]+\.\w+)`", document.read_text(encoding="utf-8")
        )
        missing += [f"{document.name}: {name}" for name in named if not (ROOT / name).exists()]

    assert not missing


def test_every_security_number_that_the_code_names_has_a_row() -> None:
    told = set(re.findall(r"^\| (S\d+) \|", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"), re.MULTILINE))
    files = [
        *(ROOT / "sync").rglob("*.py"),
        *(ROOT / "tests" / "stories").glob("*.py"),
        *(ROOT / "tests" / "wire").glob("*.py"),
    ]

    named = {number for file in files for number in re.findall(r"\bS[1-4]\d\b", file.read_text(encoding="utf-8"))}

    assert named
    assert named <= told
