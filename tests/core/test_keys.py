"""Digests as keys."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sync.keys import BUCKETS, Keys, bucket, fold
from tests.builders import KEYS, NOON


@given(st.text(max_size=2000))
def test_a_key_is_always_32_hex_digits_whatever_the_id(text):
    assert len(KEYS.of("x", text)) == 32
    assert set(KEYS.of("x", text)) <= set("0123456789abcdef")


def test_ids_that_differ_in_letter_case_have_different_keys():
    assert KEYS.of("item", "AAMkA") != KEYS.of("item", "AAMka")


def test_parts_do_not_run_together():
    assert KEYS.of("x", "ab", "c") != KEYS.of("x", "a", "bc")
    assert KEYS.of("x", "a") != KEYS.of("y", "a")
    assert KEYS.of("x", "a") != Keys(b"another key of the test").of("x", "a")


def test_a_mail_is_the_same_whatever_the_letter_case_of_its_id_and_sender():
    one = KEYS.mail("<ABC@x.example>", NOON, "Rosa@Client.example")

    assert one == KEYS.mail(" <abc@X.example> ", NOON + timedelta(microseconds=5), "rosa@client.example ")
    assert one != KEYS.mail("<abc@x.example>", NOON + timedelta(seconds=1), "rosa@client.example")
    assert one != KEYS.mail("<abc@x.example>", None, "rosa@client.example")


def test_a_record_lies_in_one_of_sixteen_buckets():
    key = KEYS.mail("<a@x.example>", NOON, "")

    assert key[0] == "m"
    assert bucket(key) in BUCKETS


def test_a_number_has_64_bits():
    assert 0 <= KEYS.number("address", "a@b.example") < 2**64
    assert KEYS.numbers("address", ["a", "\ud800"]) == [KEYS.number("address", "a"), KEYS.number("address", "\ud800")]
    assert KEYS.address("A@b.example") == KEYS.address(" a@B.example")
    assert fold(" A@B ") == "a@b"
