"""YAML as text: every scalar stays what was written, so that 12:30 is no number and `on` no truth value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

T = TypeVar("T")


def read_yaml(file: Path) -> dict[str, Any]:
    """The keys and values of a file, all of them texts. Raises ValueError naming the file."""
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected keys and values")
    return found


def convert(raw: Any, kind: type[T]) -> T:
    """Texts to the types of `kind`. Raises msgspec.ValidationError, which is a ValueError."""
    return msgspec.convert(raw, kind, strict=False)
