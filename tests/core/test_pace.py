"""How many requests of one process go at once, and how that number falls and grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.keys import Keys
from sync.pace import GROWS_AFTER, LEAST, LONGEST_SPREAD, MAILBOX_SLOTS, MOST, Pace, spread

KEYS = Keys(b"a digest key for the tests")


def after_good(pace: Pace, answers: int) -> Pace:
    for _ in range(answers):
        pace = pace.answered()
    return pace


def test_a_refusal_leaves_half_of_what_was_under_way():
    assert Pace(64).refused(0, 40).slots == 20
    assert Pace(16).refused(0, 40).slots == 8


def test_requests_that_were_under_way_together_are_one_refusal():
    fallen = Pace().refused(0, 64)

    assert fallen.refused(0, 60) == fallen
    assert fallen.refused(1, 32).slots == 16


def test_a_refusal_with_no_more_than_one_mailboxs_four_under_way_says_nothing_about_the_app():
    assert Pace().refused(0, MAILBOX_SLOTS) == Pace()


def test_a_batch_always_fits():
    assert Pace(5).refused(0, 5).slots == LEAST == MAILBOX_SLOTS


def test_it_grows_by_one_slot_after_so_many_good_answers_and_not_beyond_the_start():
    fallen = Pace(10)

    assert after_good(fallen, GROWS_AFTER - 1).slots == 10
    assert after_good(fallen, GROWS_AFTER).slots == 11
    assert after_good(fallen, GROWS_AFTER * 80).slots == MOST == Pace().slots


def test_a_refusal_starts_the_count_of_good_answers_anew():
    fallen = after_good(Pace(10), GROWS_AFTER - 1).refused(0, 10)

    assert after_good(fallen, GROWS_AFTER - 1).slots == 5


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 5), st.integers(0, 200))), max_size=300))
def test_whatever_is_answered_the_ceiling_stays_between_one_mailbox_and_the_start(answers):
    pace = Pace()
    for one in answers:
        pace = pace.answered() if one is None else pace.refused(pace.halved - one[0], one[1])
        assert LEAST <= pace.slots <= MOST


def test_after_a_wait_of_everybodys_thousands_come_back_evenly_over_as_long_again():
    mailboxes = [KEYS.of("mailbox", str(number)) for number in range(5000)]

    back = [spread(one, 20) for one in mailboxes]

    assert all(20 <= one < 40 for one in back)
    assert max(sum(second <= one < second + 1 for one in back) for second in range(20, 40)) < 400
    assert back == [spread(one, 20) for one in mailboxes]


def test_nobody_is_spread_further_than_a_minute_and_nobody_who_need_not_wait():
    assert 3600 < spread("f" * 32, 3600) <= 3600 + LONGEST_SPREAD
    assert spread("0" * 32, 3600) == 3600
    assert spread("f" * 32, 0) == spread("f" * 32, -5) == 0
