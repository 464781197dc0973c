"""Fixtures that every part of the suite may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ddcplay.lab.fleet import LabConfig, RunningLab, start_lab

LabFactory = Callable[[LabConfig], RunningLab]


@pytest.fixture(scope="session")
def lab_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFactory]:
    """Start labs on demand, each a process of its own with ports of its own; all end with the session.

    A test that is done with a lab may call `stop()` itself; a lab that several tests share belongs in a
    fixture of wider scope.
    """
    running: list[RunningLab] = []

    def start(config: LabConfig) -> RunningLab:
        lab = start_lab(config, tmp_path_factory.mktemp("lab"))
        running.append(lab)
        return lab

    yield start
    for lab in running:
        lab.stop()
