"""The documentation says what is so: its code runs, its links lead somewhere, its commands and tables fit."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from torch import nn

import steelyard
from steelyard import catalog, metrics
from steelyard.cli import app
from steelyard.data import IMBALANCES
from steelyard.hooks import HOOKS, ObjectivePart
from steelyard.models import Classifier
from steelyard.studies.config import read_study, study
from steelyard.words import split

ROOT = Path(steelyard.__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SECTIONS = [
    "What it does",
    "Equation",
    "Parameters",
    "When it helps",
    "When it hurts",
    "Source",
    "Measured results",
]
FACTS = catalog.Facts(
    class_counts=[60, 6], num_samples=66, model=Classifier(nn.Dropout(0.5), nn.Linear(4, 2))
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of ``page`` that are marked with ``language``."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def commands(page: Path) -> list[list[str]]:
    """The words of every command line in the ``sh`` blocks of ``page``."""
    lines = (line for block in blocks(page, "sh") for line in block.splitlines())
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
LINKS = sorted(
    {
        (page, link)
        for page in PAGES
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in link
    }
)


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_every_example_runs(example: Path, tmp_path: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
    found = subprocess.run(
        [sys.executable, "-W", "error", example, tmp_path / "out"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout
    assert not found.stderr


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # torch.compile looks it up
    for block in blocks(page, "python"):
        exec(compile(block, name_of(page), "exec"), vars(module))  # noqa: S102 - it is our own


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{name_of(page)}-{link}" for page, link in LINKS])
def test_every_relative_link_leads_to_a_file(page: Path, link: str) -> None:
    assert (page.parent / link).exists()


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{name_of(page)}-{' '.join(words)}" for page, words in COMMANDS]
)
def test_every_command_is_one_that_exists(page: Path, words: list[str]) -> None:
    program, *rest = words
    if program == "steelyard":
        parse(rest)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(rest) <= set(targets)
    elif program.endswith("pytest"):
        assert (ROOT / rest[0]).exists()
    else:
        assert words[:3] == ["pip", "install", "-e"]
        assert words[3] in (".", ".[tune]", ".[tune,resample]")
        assert len(words) == 4


def parse(words: list[str]) -> None:
    """Parse ``words`` as the command would; a verb, an option or a method that is not there is an error."""
    command = typer.main.get_command(app)
    context = command.make_context("steelyard", list(words))
    while (verbs := getattr(command, "commands", None)) and words:
        command, words = verbs[words[0]], words[1:]
        context = command.make_context(command.name, list(words), parent=context)
    given = [*split(context.params.get("methods") or ""), context.params.get("method")]
    for method in filter(None, given):
        catalog.method(method, FACTS)


def test_a_command_that_does_not_exist_is_found() -> None:
    for words in (
        ["weigh", "digits"],
        ["compare", "digits", "--methds", "ce"],
        ["compare", "digits", "--methods", "cee"],
    ):
        with pytest.raises((KeyError, typer.TyperException, steelyard.InputError)):
            parse(words)


@pytest.mark.parametrize("word", catalog.METHODS)
def test_every_method_has_a_page_of_the_fixed_form(word: str) -> None:
    text = (ROOT / "docs" / "methods" / f"{word}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# `{word}`: ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    table = text.split("## Parameters")[1].split("## ")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in table.splitlines() if "| `" in line]
    listed = {name: default for _, name, _, default, *_ in rows}
    offered = dict(part.split("=") for part in catalog.parameters(catalog.METHODS[word]).split(", ") if part)
    if word in {**catalog.WEIGHTINGS, **catalog.CONSTRAINTS, **catalog.CONTROLS}:
        offered["loss"] = catalog.base_loss(word)
    if word in catalog.CONSTRAINTS:
        offered["pretrain"] = "true"
    assert listed == offered


def test_readme_and_index_list_every_method() -> None:
    for page, place in ((ROOT / "README.md", "docs/methods"), (ROOT / "docs" / "index.md", "methods")):
        linked = re.findall(rf"\({place}/([a-z-]+)\.md\)", page.read_text(encoding="utf-8"))
        assert sorted(linked) == sorted(catalog.METHODS)


def test_every_measure_is_documented() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    functions = [name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))]
    assert [name for name in functions if f"`{name}`" not in text] == []


def test_every_imbalance_maker_is_documented() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    table = text.split("## Making data imbalanced")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(IMBALANCES)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=name_of)
def test_every_yaml_block_is_a_study(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        (tmp_path / "study.yaml").write_text(block, encoding="utf-8")
        asked = study(read_study(tmp_path / "study.yaml"))
        assert [catalog.method(method, FACTS) for method in asked.methods]
        assert catalog.model(asked.model, (4,), 2)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_document_names_the_hooks_of_the_class() -> None:
    table = (ROOT / "docs" / "own-code.md").read_text(encoding="utf-8").split("## Hooks")[1].split("## ")[0]
    signatures = [
        f"{name}({', '.join(list(inspect.signature(hook).parameters)[1:])})" if callable(hook) else name
        for name in HOOKS
        if (hook := getattr(ObjectivePart, name)) is not None
    ]
    assert sorted(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == sorted(signatures)
    for page, start in (
        (ROOT / "docs" / "design.md", "**Hooks are declared once.**"),
        (ROOT / "CONTRIBUTING.md", "declared in `src/steelyard/hooks.py`"),
    ):
        listed = page.read_text(encoding="utf-8").split(start)[1].split(": ", 1)[1].split(".", 1)[0]
        assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(HOOKS)
