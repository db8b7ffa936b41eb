"""Each rule that protects from a fault is missed: with the rule switched off, a cell that is green turns red."""

from __future__ import annotations

import re

import pytest

from tests.machines.cells import Cell, all_cells
from tests.machines.flows import FLOWS
from tests.machines.mutants import MUTANTS, Mutant
from tests.machines.play import played
from tests.machines.record import recording


def cells_of(mutant: Mutant) -> list[Cell]:
    """The cells that are to notice."""
    return [cell for cell in all_cells(soak=True) if re.search(mutant.cells, cell.id)]


def is_red(cell: Cell) -> bool:
    """Whether a cell fails; a mutant may break it in any way."""
    try:
        return bool(played(cell))
    except Exception:  # noqa: BLE001 - what a broken product raises is no matter
        return True


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule.replace(" ", "-"))
def test_a_cell_turns_red_without_the_rule_that(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = cells_of(mutant)
    for flow in FLOWS:
        recording(flow)  # what is expected is what the whole product does
    assert cells
    assert not any(map(is_red, cells))

    mutant.off(monkeypatch)

    assert any(map(is_red, cells)), f"Nobody noticed among {[cell.id for cell in cells]}."
