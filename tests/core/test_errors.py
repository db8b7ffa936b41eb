"""What errors carry for whoever reads them."""

from __future__ import annotations

from sync.errors import Exists, NeedsPerson, Stale, Throttled


def test_an_error_says_its_sentence_and_what_comes_next():
    assert str(Throttled("Wait.", after=12)) == "Wait."
    assert Throttled("Wait.", after=12).after == 12
    assert NeedsPerson("Why.", "Do this.").remedy == "Do this."


def test_a_conflict_names_its_row_where_the_storage_tells():
    assert (Exists("There.", "key").key, Stale("Moved.", "key").key) == ("key", "key")
    assert Exists("There.").key == ""
