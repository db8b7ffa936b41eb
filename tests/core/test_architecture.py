"""The shape of the code, read from its source: who may import whom, how long things may be, what runs at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# From low to high. A file may import files of its own layer and of every layer below, and nothing above.
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "words",
        (
            "sync/__init__.py",
            "sync/errors.py",
            "sync/exclusions.py",
            "sync/keys.py",
            "sync/mailclass.py",
            "sync/meter.py",
        ),
    ),
    ("nouns", ("sync/model.py", "sync/policy.py")),
    (
        "pure",
        (
            "sync/content.py",
            "sync/gate.py",
            "sync/idle.py",
            "sync/matching.py",
            "sync/merge.py",
            "sync/pace.py",
            "sync/pairing.py",
            "sync/presets.py",
            "sync/schedule.py",
            "sync/status.py",
            "sync/export.py",
            "sync/kinds/*.py",
            "sync/graph/__init__.py",
            "sync/graph/answers.py",
            "sync/graph/news.py",
            "sync/graph/refusals.py",
            "sync/graph/wire.py",
            "sync/crm/__init__.py",
            "sync/crm/contacts_csv.py",
            "sync/crm/lines.py",
            "sync/crm/vcard.py",
        ),
    ),
    ("ports", ("sync/ports.py",)),
    # Pure as well, and written in the words of the ports: rows and groups of rows.
    (
        "rows",
        (
            "sync/rows.py",
            "sync/storage/groups.py",
            "sync/crm/records.py",
            "sync/crm/removal.py",
            "sync/crm/timeline.py",
        ),
    ),
    (
        "work",
        (
            "sync/attachments.py",
            "sync/audit.py",
            "sync/capture.py",
            "sync/dispatch.py",
            "sync/fanout.py",
            "sync/jobs.py",
            "sync/retry.py",
            "sync/explain.py",
            "sync/folders.py",
            "sync/health.py",
            "sync/history.py",
            "sync/listing.py",
            "sync/lists.py",
            "sync/progress.py",
            "sync/mend.py",
            "sync/retention.py",
            "sync/rounds.py",
            "sync/retries.py",
            "sync/log.py",
            "sync/page.py",
            "sync/policies.py",
            "sync/poll.py",
            "sync/run.py",
            "sync/mailboxes.py",
            "sync/state.py",
            "sync/waits.py",
            "sync/wants.py",
            "sync/work.py",
            "sync/world.py",
        ),
    ),
    (
        "adapters",
        (
            "sync/graph/*.py",
            "sync/crm/*.py",
            "sync/storage/*.py",
            "sync/web/admin.py",
            "sync/web/admin_*.py",
            "sync/web/app.py",
            "sync/web/asked.py",
            "sync/web/problems.py",
            "sync/web/shapes.py",
        ),
    ),
    ("wiring", ("sync/settings.py", "sync/wiring.py")),
    # The door of the web belongs to function_app, which imports it on the first request.
    ("entry", ("sync/web/__init__.py", "function_app.py")),
    # A client of the deployed app, which it reaches over HTTP: it imports nothing of it, and nothing imports it.
    ("command line", ("sync/admin/*.py",)),
)

# Other people's packages, and the only files that may know them. The first pattern that fits decides.
PURE_PACKAGES = {"pydantic", "orjson", "dateutil", "tzlocal", "nh3", "selectolax"}
PACKAGES: tuple[tuple[str, set[str]], ...] = (
    ("function_app.py", {"azure.functions"}),
    ("sync/settings.py", {"pydantic", "pydantic_settings"}),
    ("sync/wiring.py", {"requests"}),
    ("sync/graph/wire.py", PURE_PACKAGES),
    ("sync/graph/*.py", {"msal", "requests", "orjson"}),
    ("sync/storage/groups.py", PURE_PACKAGES),
    ("sync/storage/*.py", {"azure.core", "azure.data", "azure.identity", "azure.storage", "requests"}),
    ("sync/web/__init__.py", {"azure.functions"}),
    ("sync/web/*.py", {"fastapi", "jinja2", "pydantic", "starlette"}),
    ("sync/admin/*.py", {"requests", "rich"}),
    ("sync/*.py", PURE_PACKAGES),
)
# What the functions import is asked for in runtime.in; the command line's packages are not deployed with them.
ASKED_IN = (("sync/admin/*.py", "requirements/admin.in"), ("*.py", "requirements/runtime.in"))
# The line of the requirements that brings a package, where it is not simply called the same.
BROUGHT_BY = {
    "azure.core": "azure-data-tables",
    "azure.data": "azure-data-tables",
    "azure.storage": "azure-storage-blob",
    "dateutil": "python-dateutil",
    "starlette": "fastapi",
}

# Modules whose functions may be called while a module is imported: they declare and compile, they open nothing.
DECLARING = {
    "collections",
    "dataclasses",
    "datetime",
    "functools",
    "logging",
    "nh3",
    "operator",
    "pydantic",
    "pydantic_settings",
    "re",
    "string",
    "struct",
    "sync.model",
    "sync.policy",
    "sync.ports",
    "types",
    "typing",
}
ALSO_HARMLESS = {
    ("sync/wiring.py", "threading.Lock"),
    ("function_app.py", "func.FunctionApp"),
    # Called as a program only.
    ("sync/admin/__main__.py", "sys.exit"),
    ("sync/admin/__main__.py", "main"),
}


@cache
def product_files() -> list[str]:
    """Every Python file that is deployed, relative to the repository."""
    files = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "sync").rglob("*.py"))]
    return [*files, "function_app.py"]


def own_files() -> list[str]:
    """Every Python file of the product and of its development side."""
    dev = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "dev").rglob("*.py"))]
    return product_files() + [file for file in dev if "node_modules" not in file]


@cache
def source(file: str) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), filename=file)


def layer_of(file: str) -> int | None:
    """Index of the lowest layer that names the file; asterisks stay within one folder's files."""
    for index, (_, patterns) in enumerate(LAYERS):
        if any(fnmatch(file, pattern) and file.count("/") == pattern.count("/") for pattern in patterns):
            return index
    return None


@cache
def imports(file: str) -> set[str]:
    """Dotted names of all modules a file imports, inside functions and type-checking blocks too."""
    names: set[str] = set()
    for node in ast.walk(source(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {_module(node.module, alias.name) for alias in node.names}
    return names


def _module(package: str, name: str) -> str:
    # `from sync.graph import wire` names a module, `from sync.model import Job` does not.
    return f"{package}.{name}" if file_of(f"{package}.{name}") else package


@cache
def file_of(module: str) -> str | None:
    """The product's file behind a module name."""
    path = module.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in product_files()), None)


def third_party(file: str) -> set[str]:
    """Packages of others that a file imports; of `azure`, the part that says which."""
    found = set()
    for name in imports(file):
        parts = name.split(".")
        if parts[0] not in sys.stdlib_module_names and parts[0] not in ("sync", "function_app"):
            found.add(".".join(parts[:2]) if parts[0] == "azure" else parts[0])
    return found


def functions(file: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a file."""
    for node in ast.walk(source(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_file_of_the_product_stands_in_a_layer() -> None:
    homeless = [file for file in product_files() if layer_of(file) is None]

    assert not homeless, (
        f"{homeless} stand in no layer: add them to LAYERS in tests/core/test_architecture.py, as low as their "
        "imports allow, and to the table in docs/architecture.md."
    )


def test_nothing_imports_a_layer_above_its_own() -> None:
    upward = []
    for file in product_files():
        for module in sorted(imports(file)):
            target = file_of(module)
            own, other = layer_of(file), layer_of(target) if target else None
            if own is not None and other is not None and other > own:
                upward.append(f"{file} ({LAYERS[own][0]}) imports {target} ({LAYERS[other][0]})")

    assert not upward, upward


def test_no_two_modules_import_each_other_even_in_a_detour() -> None:
    circles = []
    for start in product_files():
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            targets = {target for target in map(file_of, imports(waiting.pop())) if target}
            circles += [start] if start in targets else []
            waiting += targets - seen
            seen |= targets

    assert not circles, f"{circles} are imported by something they import themselves."


def test_the_product_knows_nothing_of_its_development_side() -> None:
    foreign = {
        file: sorted(name for name in imports(file) if name.split(".")[0] in ("dev", "tests", "bench"))
        for file in product_files()
    }

    assert not any(foreign.values()), {file: names for file, names in foreign.items() if names}


def test_a_package_of_others_is_known_only_where_it_is_adapted() -> None:
    strange = {}
    for file in product_files():
        allowed = next(packages for pattern, packages in PACKAGES if fnmatch(file, pattern))
        strange[file] = sorted(third_party(file) - allowed)

    assert not any(strange.values()), (
        f"{ {file: names for file, names in strange.items() if names} }: "
        "move the call into the adapter, or say in PACKAGES of this test why this file may know the package."
    )


def test_every_package_the_product_imports_is_asked_for_by_name() -> None:
    missing = sorted(
        f"{asked} does not name {name}, which {file} imports"
        for file in product_files()
        for asked in [next(asked for pattern, asked in ASKED_IN if fnmatch(file, pattern))]
        for name in third_party(file)
        if BROUGHT_BY.get(name, name).replace("_", "-").replace(".", "-") not in _named_in(asked)
    )

    assert not missing


@cache
def _named_in(requirements: str) -> set[str]:
    lines = (ROOT / requirements).read_text(encoding="utf-8").splitlines()
    return {line.split(";")[0].split("=")[0].split("[")[0].strip() for line in lines}


def test_the_command_line_knows_the_product_by_its_web_address_alone() -> None:
    inside = {file for file in product_files() if file.startswith("sync/admin/")}

    foreign = {
        file: sorted(target for target in map(file_of, imports(file)) if target and target not in inside)
        for file in inside
    }
    users = [file for file in product_files() if file not in inside and {*map(file_of, imports(file))} & inside]

    assert inside
    assert "sync/admin" in (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    assert set().union(*foreign.values()) <= {"sync/errors.py"}
    assert not users


def test_nothing_is_built_or_opened_while_a_module_is_imported() -> None:
    built = [f"{file}:{call.lineno} {ast.unparse(call)}" for file in product_files() for call in _eager_calls(file)]

    assert not built, f"{built}: build it in sync/wiring.py, when it is first needed."


def _eager_calls(file: str) -> Iterator[ast.Call]:
    """Calls that run at import and are more than a declaration."""
    origins = _origins(file)
    for statement in source(file).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for call in (node for node in ast.walk(statement) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            origin = origins.get(name.split(".")[0])
            declares = name != "open" if origin is None else origin in DECLARING
            if not declares and (file, name) not in ALSO_HARMLESS:
                yield call


def _origins(file: str) -> dict[str, str]:
    """Where each imported name of a file comes from."""
    found = {}
    for node in ast.walk(source(file)):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: _module(node.module or "", alias.name) for alias in node.names}
    return found


def test_importing_the_functions_needs_no_settings_and_loads_no_web_framework() -> None:
    # Every queue and timer instance imports function_app; only an HTTP request needs the web.
    script = "import sys, function_app; print(sorted({'fastapi', 'starlette', 'rich'} & set(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lines = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in own_files()}

    assert not {file: count for file, count in lines.items() if count > 400}


def test_no_function_is_longer_than_sixty_lines() -> None:
    lengths = {
        f"{file}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for file in own_files()
        for node in functions(file)
    }

    assert not {name: length for name, length in lengths.items() if length > 60}


def test_the_product_logs_and_never_prints() -> None:
    prints = [
        f"{file}:{node.lineno}"
        for file in product_files()
        for node in ast.walk(source(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]

    assert not prints, prints


def test_every_public_thing_says_what_it_is() -> None:
    silent = []
    for file in product_files():
        body = source(file).body
        silent += [file] if body and not ast.get_docstring(source(file)) else []
        silent += [
            f"{file}: {node.name}"
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]

    assert not silent, f"{silent} have no docstring."


def test_things_are_named_after_the_firm_and_not_after_machinery() -> None:
    machinery = ("Manager", "Processor", "Helper", "Util", "Utils", "Base")
    named = [
        f"{file}: {node.name}"
        for file in product_files()
        for node in ast.walk(source(file))
        if isinstance(node, ast.ClassDef) and node.name.endswith(machinery)
    ]

    assert not named, named
