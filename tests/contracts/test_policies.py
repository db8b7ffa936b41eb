"""The policy as it is kept, on memory and on Azurite."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from dev.memory import ManualClock
from sync.errors import BadItem, BadPolicy, Stale
from sync.meter import Meter
from sync.policies import CURRENT, NOTE, PARTITION, REMEMBERED, TABLE, Policies
from sync.policy import DOMAINS, MailPolicy, MatchingPolicy, Policy
from sync.ports import Write
from sync.settings import load
from sync.storage import CONTAINER
from sync.storage.account import create_absent, services
from sync.wiring import build
from tests.builders import NOON
from tests.core.test_settings import GOOD

DEFAULT = Policy(matching=MatchingPolicy(internal_domains=("firm.example",)))
NO_BCC = DEFAULT.model_copy(update={"mail": MailPolicy(bcc=False)})
ALL_OF_IT = DEFAULT.model_copy(update={"mail": MailPolicy(backfill_months=None)})


@pytest.fixture
def now() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def kept(storage, now) -> Policies:
    return Policies(storage.tables, now, DEFAULT)


def saved(kept: Policies, *policies: Policy) -> None:
    """Save one after the other."""
    for policy in policies:
        kept.save(policy, kept.current().etag, "ada")


def test_before_anything_is_saved_the_default_counts_as_version_zero(kept):
    current = kept.current()

    assert (current.policy, current.version, current.at, current.by, current.note) == (DEFAULT, 0, None, "", "")
    assert kept.now() == DEFAULT
    assert kept.history() == ([], "")
    assert kept.version(0) is None


def test_what_is_saved_counts_with_who_saved_it_when_and_why(kept):
    stored = kept.save(NO_BCC, kept.current().etag, "ada", "Bcc is nobody's business.")

    assert (stored.policy, stored.version, stored.at, stored.by) == (NO_BCC, 1, NOON, "ada")
    assert stored.note == "Bcc is nobody's business."
    assert kept.current() == kept.version(1) == stored
    assert kept.now() == NO_BCC


def test_the_default_may_be_saved_so_that_the_settings_make_it_no_more(storage, kept, now):
    assert kept.save(DEFAULT, kept.current().etag, "ada").version == 1

    assert Policies(storage.tables, now, Policy()).now() == DEFAULT


def test_every_version_stays_and_the_newest_comes_first(kept, now):
    for months in range(1, 6):
        now.advance(60)
        saved(kept, Policy(mail=MailPolicy(backfill_months=months)))

    first, place = kept.history(limit=2)
    second, further = kept.history(limit=2, after=place)
    last, end = kept.history(limit=2, after=further)

    assert [one.version for one in (*first, *second, *last)] == [5, 4, 3, 2, 1]
    assert [one.policy.mail.backfill_months for one in (*first, *second, *last)] == [5, 4, 3, 2, 1]
    assert first[0] == kept.current()
    assert end == ""
    assert kept.history(limit=5)[1] == ""
    found = kept.version(3)
    assert found is not None
    assert (found.policy.mail.backfill_months, found.at) == (3, NOON + timedelta(minutes=3))


@pytest.mark.parametrize("number", [-1, 6, 10**9, 10**12])
def test_a_version_that_never_was_is_not_there(kept, number):
    saved(kept, NO_BCC)

    assert kept.version(number) is None


@pytest.mark.parametrize("place", ["current", "v1", "v99999999", "x" * 300, "v000000001\n"])
def test_a_place_in_the_history_that_nobody_gave_is_refused(kept, place):
    with pytest.raises(BadItem):
        kept.history(after=place)


def test_what_changed_since_it_was_read_is_not_saved_over(kept):
    before = kept.current().etag
    saved(kept, NO_BCC)

    for etag in (before, "", "1", "1-0000000000000000"):
        with pytest.raises(Stale):
            kept.save(ALL_OF_IT, etag, "ben")

    assert kept.current().policy == NO_BCC
    assert len(kept.history()[0]) == 1


def test_saving_what_is_there_already_writes_nothing_and_a_repeated_request_has_the_same_answer(kept, now):
    before = kept.current().etag
    first = kept.save(NO_BCC, before, "ada")
    now.advance(60)

    assert kept.save(NO_BCC, before, "ada") == first
    assert kept.save(NO_BCC, first.etag, "ben") == first
    assert len(kept.history()[0]) == 1


def test_of_many_who_save_at_once_one_is_first_and_the_others_are_told(kept):
    saved(kept, NO_BCC)
    etag, ready, outcome = kept.current().etag, threading.Barrier(4), []

    def save(months: int) -> None:
        ready.wait()
        try:
            outcome.append(kept.save(Policy(mail=MailPolicy(backfill_months=months)), etag, "somebody").version)
        except Stale:
            outcome.append(None)

    threads = [threading.Thread(target=save, args=(months,)) for months in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome, key=str) == [2, None, None, None]
    assert [one.version for one in kept.history()[0]] == [2, 1]
    assert kept.history()[0][0] == kept.current()


def test_the_first_two_who_save_at_once_are_one_and_a_stale_one(storage, kept, now):
    class Slow(Policies):
        """Saves only after somebody else has."""

        def _write(self, *given):
            saved(kept, NO_BCC)
            super()._write(*given)

    slow = Slow(storage.tables, now, DEFAULT)

    with pytest.raises(Stale):
        slow.save(ALL_OF_IT, slow.current().etag, "ben")
    assert kept.current().policy == NO_BCC
    # And one who wanted the same has it.
    assert slow.save(NO_BCC, "0", "ben") == kept.current()


def test_a_write_that_was_done_though_it_seemed_to_fail_is_an_answer(storage, now):
    class Twice(Policies):
        """The storage's client tries again after an answer that got lost."""

        def _write(self, *given):
            super()._write(*given)
            super()._write(*given)

    kept = Twice(storage.tables, now, DEFAULT)

    assert kept.save(NO_BCC, "0", "ada").version == 1
    assert kept.save(ALL_OF_IT, kept.current().etag, "ada").version == 2


def test_a_worker_goes_by_what_it_read_for_a_minute_and_whoever_saves_by_what_he_saved(storage, kept, now):
    other = Policies(storage.tables, now, DEFAULT)
    assert other.now() == kept.now() == DEFAULT

    saved(kept, NO_BCC)

    assert kept.now() == NO_BCC
    now.advance(REMEMBERED.total_seconds() - 1)
    assert other.now() == DEFAULT
    assert other.current().policy == NO_BCC
    now.advance(1)
    assert other.now() == NO_BCC


def test_the_largest_policy_there_can_be_is_kept(kept):
    names = tuple(f"{number:03d}{'ü' * 240}.example" for number in range(DOMAINS))
    large = Policy(matching=MatchingPolicy(internal_domains=names))

    assert kept.save(large, "0", "ada").policy == large
    assert kept.current().policy == large
    assert kept.now() == large


def test_a_policy_with_a_value_that_was_never_checked_and_a_note_that_is_too_long_are_refused(kept):
    with pytest.raises(BadPolicy, match=r"mail\.attachment_mb"):
        kept.save(Policy(mail=MailPolicy.model_construct(attachment_mb=1000)), "0", "ada")
    with pytest.raises(BadPolicy, match="note"):
        kept.save(NO_BCC, "0", "ada", "x" * (NOTE + 1))

    assert kept.current().version == 0


def test_the_settings_make_the_default_until_a_policy_is_saved_and_then_count_no_more(account):
    makes = services(account, Meter())
    create_absent(makes, (TABLE,), (), CONTAINER)
    makes.close()
    given = {"ACCORD_INTERNAL_DOMAINS": "firm.example", "ACCORD_BACKFILL_MONTHS": "0"}
    site = build(load({**GOOD, **given, "AzureWebJobsStorage": account}))

    assert site.world.policy() == ALL_OF_IT
    site.policies.save(Policy(), site.policies.current().etag, "ada")
    assert site.world.policy() == Policy()
    site.close()


# -- what a newer release saved


def spoil(storage, kept: Policies, text: str) -> None:
    """Have the newest version hold what this release cannot read."""
    current = storage.tables.get(TABLE, PARTITION, CURRENT)
    values = {name: value for name, value in current.values.items() if not name.startswith("policy")}
    writes = [Write("replace", CURRENT, {**values, "policy000": text})]
    newest = next(iter(storage.tables.rows(TABLE, PARTITION, "v")))
    writes.append(Write("replace", newest.key, {**values, "policy000": text}))
    storage.tables.write(TABLE, PARTITION, writes)


NEWER = ['{"version": 1, "mail": {"colour": "red"}}', '{"version": 2}', "{", ""]


@pytest.mark.parametrize("text", NEWER)
def test_workers_go_by_the_newest_version_they_can_read_and_the_log_has_an_error(storage, kept, now, caplog, text):
    saved(kept, DEFAULT, NO_BCC, ALL_OF_IT)
    spoil(storage, kept, text)
    worker = Policies(storage.tables, now, Policy())

    for _ in range(3):
        assert worker.now() == NO_BCC
        now.advance(61)

    current = worker.current()
    assert (current.policy, current.version) == (NO_BCC, 3)
    assert "version 3" in current.problem
    assert "goes by version 2" in current.problem
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert [bool(one.problem) for one in worker.history()[0]] == [True, False, False]


def test_where_no_version_can_be_read_the_default_counts_and_the_log_has_an_error(storage, kept, now, caplog):
    saved(kept, NO_BCC)
    spoil(storage, kept, NEWER[0])
    worker = Policies(storage.tables, now, DEFAULT)

    assert worker.now() == DEFAULT
    assert "default" in worker.current().problem
    assert len(caplog.records) == 1


def test_saving_again_ends_what_could_not_be_read(storage, kept, caplog):
    saved(kept, DEFAULT, NO_BCC)
    spoil(storage, kept, NEWER[0])

    # Also what is gone by anyway: it is not what stands there.
    stored = kept.save(DEFAULT, kept.current().etag, "ada")

    assert (stored.version, stored.problem, kept.now()) == (3, "", DEFAULT)
    assert caplog.records == []
