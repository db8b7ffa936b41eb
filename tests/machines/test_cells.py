"""Whatever goes wrong at whatever effect or call: within three cycles all is as if nothing had happened.

docs/faults.md says what the cells are. One cell: `make test ARGS="tests/machines -k live-crash-before-7"`.
"""

from __future__ import annotations

import os

import pytest

from tests.machines.cells import Cell, all_cells
from tests.machines.flows import FLOWS
from tests.machines.play import played
from tests.machines.record import recording

SOAK = bool(os.environ.get("SOAK"))


@pytest.mark.parametrize("cell", all_cells(SOAK), ids=lambda cell: cell.id)
def test_all_is_well_again_after(cell: Cell) -> None:
    assert played(cell) == []


def test_no_two_cells_are_called_alike() -> None:
    names = [cell.id for cell in all_cells(soak=True)]

    assert len(names) == len(set(names)) > 2000


@pytest.mark.parametrize("flow", FLOWS)
def test_every_effect_and_every_call_of_a_flow_has_cells(flow: str) -> None:
    made = recording(flow)
    names = " ".join(cell.id for cell in all_cells(SOAK) if cell.flow == flow)

    for number, effect in enumerate(made.effects):
        assert f"crash-before-{number}-{effect.name}-lost" in names or effect.name == "tick"
    for number, call in enumerate(made.calls):
        assert f"-at-{number}-{call.name}" in names, f"{number} {call.name}"
