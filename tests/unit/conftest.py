"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.unit.config_files import write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small sound configuration of config_files.py."""
    write(tmp_path)
    (tmp_path / "hook-secret").write_text("s" * 32)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., Result]:
    """`lilong WORDS…` in that folder, in English unless asked otherwise."""

    def runs(*words: str, lang: str = "C.UTF-8", stdin: bytes | None = None, config: bool = True) -> Result:
        settings = {"LANG": lang, "LC_ALL": None, "LC_MESSAGES": None, "CREDENTIALS_DIRECTORY": None}
        settings["LILONG_CONFIG"] = str(folder / "lilong.yaml") if config else None
        return CliRunner().invoke(main, words, input=stdin, env=settings)

    return runs
