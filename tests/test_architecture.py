"""The shape of the project: layers, sizes, what is imported at start, what every module says of itself."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import ddcplay
from ddcplay import errors
from ddcplay.model.result import REASONS, Outcome, Reason, outcome_of

PACKAGE = Path(ddcplay.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)
HEAVY = {
    "alembic",
    "cronsim",
    "cryptography",
    "jinja2",
    "keyring",
    "lxml",
    "pydantic",
    "requests",
    "rich",
    "ruamel",
    "spnego",
    "sqlalchemy",
    "typer",
    "winrm",
    "yaml",
}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_layers_and_the_independence_of_the_lab_are_kept():
    root = PACKAGE.parent
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_is_for_and_stays_small(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module docstring says why the file exists"
    assert text.count("\n") <= 400, "does it hold two rooms?"
    # The signature does not count: a command's options are one parameter each.
    long = [each.name for each in functions(tree) if each.end_lineno - each.body[0].lineno >= 60]
    assert not long


@pytest.mark.parametrize(
    "statement",
    ["import ddcplay", "import ddcplay.cli.main", "import ddcplay.model.plan, ddcplay.errors, ddcplay.units"],
)
def test_nothing_heavy_is_imported_at_start(statement):
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert HEAVY & set(done.stdout.split()) == set()


def test_the_version_is_told_without_importing_anything_heavy():
    code = (
        "import sys; sys.argv = ['ddcplay', '--version']\n"
        "from ddcplay.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    first, *rest = done.stdout.splitlines()
    assert ddcplay.__version__ in first
    assert HEAVY & set(" ".join(rest).split()) == set()


@pytest.mark.parametrize("group", ["ddcplay.transports", "ddcplay.probes", "ddcplay.executors"])
def test_every_built_in_plug_in_can_be_loaded(group):
    found = [point for point in entry_points(group=group) if point.value.startswith("ddcplay.")]
    assert found
    for point in found:
        assert callable(point.load())


def test_every_reason_belongs_to_exactly_one_outcome():
    counted = [reason for reasons in REASONS.values() for reason in reasons]
    assert sorted(counted) == sorted(Reason)
    assert {outcome_of(reason) for reason in Reason} == set(Outcome) - {Outcome.OK}


ERRORS = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.DdcplayError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_says_what_to_do_and_survives_a_process_border(kind):
    if kind is errors.ConfigError:
        error = kind([errors.Problem(errors.Place("a.yml", 3, 5), "what happened", "what to do")])
    elif kind is errors.FaultError:
        error = kind("transport", "what happened", "what to do", retryable=True)
    else:
        error = kind("what happened", "what to do")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert "what happened" in str(error)
    assert "what to do" in str(error)
    assert vars(again) == vars(error)


def test_the_error_tree_in_the_docstring_is_complete():
    for kind in ERRORS:
        assert kind.__name__ in (errors.__doc__ or ""), kind
