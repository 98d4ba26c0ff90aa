"""The street from files: device models and a site, read just as far as speaking needs.

The gateway's own strict loader is not used on purpose: a neighbourhood does not know who listens to it.
`lilong check` is the place where mistakes in these files are explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.core.model import OWN, Device, Model, Place, World
from simulators.incidents import span_ns
from simulators.reading import convert, read_yaml

T = TypeVar("T")


def load_street(models: Iterable[Path], sites: Iterable[Path], timezone: str = "Asia/Shanghai") -> World:
    """Models, places and devices of all YAML files in these folders. Raises ValueError naming the file."""
    known = {file.stem: _model(file) for file in _files(models)}
    files = [(file, read_yaml(file)) for file in _files(sites)]
    places = [place for file, raw in files for place in _list(raw, "places", Place, file)]
    found = [device for file, raw in files for device in _list(raw, "devices", Device, file)]
    devices = [one for one in found if not one.topic.startswith(OWN)]  # the gateway speaks for itself
    strangers = {device.model for device in devices} - set(known)
    if strangers:
        raise ValueError(f"no such model: {sorted(strangers)}; known are {sorted(known)}")
    return World(
        models=known,
        rules=(),
        places={place.id: place for place in places},
        units={},
        persons={},
        posts=(),
        ladders={},
        devices={device.id: device for device in devices},
        timezone=timezone,
    )


def _model(file: Path) -> Model:
    raw = read_yaml(file)
    raw.pop("examples", None)
    for key in ("expect_every", "lateness", "ends_after"):
        if key in raw:
            raw[f"{key}_s"] = span_ns(raw[key]) / 1e9
    try:
        return convert(raw | {"id": file.stem}, Model)
    except msgspec.ValidationError as error:
        raise ValueError(f"{file}: {error}; `lilong check` explains it") from None


def _list(raw: dict[str, Any], key: str, kind: type[T], file: Path) -> list[T]:
    try:
        return [convert(entry, kind) for entry in raw.get(key, [])]
    except msgspec.ValidationError as error:
        raise ValueError(f"{file}: {key}: {error}; `lilong check` explains it") from None


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.exists():
            raise ValueError(f"{folder}: no such file or folder")
        yield from sorted(folder.glob("*.yaml")) if folder.is_dir() else [folder]
