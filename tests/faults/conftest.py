"""One influxd for all fault tests of a process; a rig, with a bucket of its own, for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.rig import Rig
from tests.servers.influx import Influx


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with Influx(tmp_path_factory.mktemp("faults")) as server:
        yield server


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(tmp_path: Path, influx: Influx) -> Iterator[MakeRig]:
    """Rigs are taken down at the test's end; see Gateway for `mutant`."""
    with ExitStack() as later:

        def make(mutant: str = "", attempt: int = 0) -> Rig:
            folder = tmp_path / f"{tmp_path.name}-{attempt}"  # names the bucket too
            folder.mkdir()
            return later.enter_context(Rig(folder, influx, mutant))

        yield make


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()
