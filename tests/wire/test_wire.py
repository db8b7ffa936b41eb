"""What is asked of Microsoft Graph, and what its answers mean. Recorded shapes in, values and error classes out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from sync import errors
from sync.errors import AccessDenied, BadItem, ForeignLink, MalformedAnswer, Throttled, Unavailable
from sync.graph import answers, wire
from sync.graph.answers import Answer
from sync.model import Attachment, Body, Broken, Folder
from tests.builders import NOON

USER = "00000000-0000-4000-8000-00000000aaaa"
LINK = "https://graph.microsoft.com/v1.0/users/x/mailFolders/y/messages/delta?$deltatoken=abc"


def an_answer(json: Any = None, status: int = 200, raw: bytes | None = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, orjson.dumps(json) if raw is None else raw)


def an_error(status: int, code: str = "", **headers: str) -> Answer:
    return an_answer({"error": {"code": code, "message": "private text"}}, status, **headers)


def query_of(request: wire.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


# -- requests


def test_old_mail_is_asked_for_by_time_received_light_fields_only():
    request = wire.older(USER, NOON - timedelta(days=1), NOON, newest_first=True)

    query = query_of(request)
    assert query["$filter"] == "receivedDateTime ge 2026-11-19T12:00:00Z and receivedDateTime le 2026-11-20T12:00:00Z"
    assert query["$orderby"] == "receivedDateTime desc"
    assert query["$top"] == "1000"
    assert "body" not in query["$select"].split(",")
    assert "bodyPreview" not in query["$select"]
    assert request.headers["Prefer"] == 'IdType="ImmutableId"'


def test_without_a_start_only_the_end_bounds_it_and_oldest_may_come_first():
    query = query_of(wire.older(USER, None, NOON, newest_first=False))

    assert query["$filter"] == "receivedDateTime le 2026-11-20T12:00:00Z"
    assert query["$orderby"] == "receivedDateTime asc"


def test_what_changed_is_asked_for_by_time_of_change():
    query = query_of(wire.changed(USER, NOON - timedelta(days=1), NOON, newest_first=False))

    assert (
        query["$filter"]
        == "lastModifiedDateTime ge 2026-11-19T12:00:00Z and lastModifiedDateTime le 2026-11-20T12:00:00Z"
    )
    assert query["$orderby"] == "lastModifiedDateTime asc"


def test_mail_of_an_address_is_searched_for_by_participant():
    request = wire.search(USER, "rosa@client.example")

    assert wire.searchable("rosa@client.example")
    assert query_of(request)["$search"] == '"participants:rosa@client.example"'
    assert "$filter" not in query_of(request)


@pytest.mark.parametrize(
    "odd", ['a"b@x.example', "a b@x.example", "a@x OR b@x", "a(b)@x.example", "a:b@x.example", "ä@x.example"]
)
def test_an_address_that_may_mean_something_in_a_search_is_not_searched_for(odd):
    assert not wire.searchable(odd)


@pytest.mark.parametrize("row", [{"displayName": "no id"}, "no object", {"@removed": {"reason": "deleted"}}])
def test_a_folder_of_another_shape_comes_back_later(row):
    with pytest.raises(MalformedAnswer):
        answers.read_folder_page(an_answer({"value": [row]}))


def test_a_message_is_found_by_graphs_id_and_by_its_message_id():
    by_id, by_name = wire.message(USER, "AAMk="), wire.message(USER, "<o'neil@client.example>")

    assert "/messages/AAMk%3D?" in by_id.url
    assert query_of(by_name)["$filter"] == "internetMessageId eq '<o''neil@client.example>'"


def test_a_message_is_read_from_itself_or_from_a_list_of_one():
    assert answers.read_message(an_answer({"id": "a"})).id == "a"
    assert answers.read_message(an_answer({"value": [{"id": "b"}]})).id == "b"
    assert answers.read_message(an_answer({"value": []})) is None
    assert answers.read_message(an_error(404, "ErrorItemNotFound")) is None


def test_a_folder_is_opened_from_a_moment_on():
    request = wire.open_folder(USER, "AAMk=", datetime(2026, 11, 20, 13, tzinfo=timezone(timedelta(hours=1))))

    assert "/mailFolders/AAMk%3D/messages/delta?" in request.url
    assert query_of(request)["$filter"] == "receivedDateTime ge 2026-11-20T12:00:00Z"
    assert "odata.maxpagesize=500" in request.headers["Prefer"]


@pytest.mark.parametrize("evil", ["a/../b", "a?$expand=x", "a%2fb", "a#b", "a b", "ä"])
def test_an_id_stays_one_segment_of_the_path(evil):
    path = urlsplit(wire.user(evil).url)

    assert path.path.count("/") == len(["", "v1.0", "users", "x"]) - 1
    assert path.query.startswith("$select=")
    assert path.fragment == ""


@pytest.mark.parametrize("evil", ["", ".", ".."])
def test_an_id_of_dots_is_refused(evil):
    with pytest.raises(BadItem):
        wire.user(evil)


def test_the_folder_tree_is_asked_for_whole_at_first_and_by_its_link_later():
    assert wire.folder_changes(USER).url.startswith(f"{wire.ROOT}/users/{USER}/mailFolders/delta?")
    assert wire.folder_changes(USER, LINK).url == LINK


def test_bodies_are_asked_for_in_one_batch_that_counts_each_part():
    request = wire.bodies(USER, ["m1", "m2"])

    parts = orjson.loads(request.body)["requests"]
    assert request.units == 2
    assert [part["id"] for part in parts] == ["0", "1"]
    assert parts[0]["url"] == f"/users/{USER}/messages/m1?$select=id,body,internetMessageHeaders"
    assert parts[0]["headers"]["Prefer"] == 'IdType="ImmutableId"'


def test_well_known_folders_are_asked_for_twenty_at_a_time():
    requests = wire.well_known(USER, [f"f{n}" for n in range(21)])

    assert [request.units for request in requests] == [20, 1]
    assert orjson.loads(requests[1].body)["requests"][0]["id"] == "20"


def test_the_next_batch_is_smaller_when_bodies_are_large():
    assert wire.next_batch_size(20, 20 * 20_000) == 20
    assert wire.next_batch_size(20, 20 * 1024 * 1024) == 4
    assert wire.next_batch_size(1, 50 * 1024 * 1024) == 1
    assert wire.next_batch_size(20, 0) == 20


@pytest.mark.parametrize(
    "link",
    [
        "https://169.254.169.254/latest",
        "https://localhost/v1.0/users",
        "https://graph.microsoft.com.evil.example/v1.0/x",
        "https://graph.microsoft.com@evil.example/v1.0/x",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com:444/v1.0/users",
        "https://graph.microsoft.com./v1.0/users",
        "https://graph.micros\u043eft.com/v1.0/users",
        "https://graph.microsoft.com/beta/users",
        "https://graph.microsoft.com/v1.0/\\evil",
        "https://graph.microsoft.com/v1.0/../beta/users",
        "https://graph.microsoft.com/v1.0/%2e%2e/beta/users",
        "https://[graph.microsoft.com/v1.0/",
        "",
    ],
)
def test_a_link_to_another_place_is_never_followed(link):
    with pytest.raises(ForeignLink):
        wire.follow(link)
    with pytest.raises(ForeignLink):
        wire.folder_changes(USER, link or "x")


def test_a_link_of_graph_is_followed_as_it_is():
    assert wire.follow(LINK).url == LINK


# -- answers


def test_a_user_has_all_his_addresses_folded():
    answer = an_answer(
        {
            "id": USER,
            "mail": "Ada@Firm.example",
            "userPrincipalName": "ada@firm.example",
            "proxyAddresses": ["SMTP:ada@firm.example", "smtp:Ada.Old@firm.example", "X500:/o=ex"],
        }
    )

    assert answers.read_user(answer) == (USER, ("ada@firm.example", "ada.old@firm.example"))


def test_the_directory_is_asked_for_one_user_and_a_refusal_names_the_permission():
    request = wire.anybody()
    answers.read_reached(an_answer({"value": [{"id": USER}]}))

    assert (request.method, request.url) == ("GET", f"{wire.ROOT}/users?$top=1&$select=id")
    with pytest.raises(AccessDenied, match="the users of the directory") as refused:
        answers.read_reached(Answer(403, {}, b"{}"))
    assert "User.Read.All" in refused.value.remedy


def test_a_user_without_an_id_is_a_malformed_answer():
    with pytest.raises(MalformedAnswer, match="has no id"):
        answers.read_user(an_answer({"mail": "x@y.example"}))


def test_folder_changes_know_what_came_and_went():
    answer = an_answer(
        {
            "value": [
                {"id": "f1", "displayName": "Inbox", "parentFolderId": "root"},
                {"id": "f2", "@removed": {"reason": "deleted"}},
            ],
            "@odata.deltaLink": LINK,
        }
    )

    page, link = answers.read_folder_page(answer)

    assert page.folders == (Folder("f1", "Inbox", "root"),)
    assert page.removed == ("f2",)
    assert (page.cursor, link) == (LINK, None)


def test_a_well_known_folder_that_is_not_there_is_left_out():
    parts = {
        "responses": [
            {"id": "1", "status": 200, "headers": {}, "body": {"id": "f1"}},
            {"id": "0", "status": 404, "headers": {}, "body": {"error": {"code": "ErrorItemNotFound"}}},
            {"id": "2", "status": 400, "headers": {}, "body": {"error": {"code": "ErrorInvalidIdMalformed"}}},
        ]
    }

    assert answers.read_well_known([an_answer(parts)], ["outbox", "drafts", "odd"]) == {"drafts": "f1"}


def test_a_page_of_messages_is_read():
    answer = an_answer(
        {
            "value": [
                {
                    "id": "m1",
                    "internetMessageId": "<a@b.example>",
                    "subject": None,
                    "from": {"emailAddress": {"name": "Rosa", "address": "rosa@client.example"}},
                    "sender": {"emailAddress": None},
                    "toRecipients": [{"emailAddress": {"address": "ada@firm.example"}}, {}],
                    "sentDateTime": "2026-11-20T12:00:00Z",
                    "receivedDateTime": "2026-11-20T12:00:00Z",
                    "parentFolderId": "inbox",
                    "isDraft": False,
                },
                {"id": "m2", "@removed": {"reason": "deleted"}},
            ],
            "@odata.nextLink": LINK,
        }
    )

    page = answers.read_page(answer, "old mail")

    (mail,) = page.items
    assert (mail.id, mail.subject, mail.author.address, mail.sender) == ("m1", "", "rosa@client.example", None)
    assert [one.address for one in mail.to] == ["ada@firm.example"]
    assert mail.received == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert (page.removed, page.next, page.delta) == (("m2",), LINK, None)


def test_a_message_without_id_is_named_and_hides_nothing_beside_it():
    answer = an_answer({"value": [{"receivedDateTime": "2026-11-20T12:00:00Z"}, {"id": "m2"}, {"subject": "x"}]})

    page = answers.read_page(answer, "old mail")

    assert [one.id for one in page.items] == ["m2"]
    assert [one.name for one in page.broken] == [
        "message received 2026-11-20T12:00:00Z",
        "message received at an unknown time",
    ]
    assert "without an id" in page.broken[0].sentence


def test_a_message_with_an_unreadable_date_is_named():
    page = answers.read_page(an_answer({"value": [{"id": "m1", "receivedDateTime": "yesterday"}]}), "old mail")

    assert page.broken[0].name == "m1"
    assert "'yesterday'" in page.broken[0].sentence


def test_no_message_is_given_up_for_the_time_of_its_last_change():
    page = answers.read_page(an_answer({"value": [{"id": "m1", "lastModifiedDateTime": "yesterday"}]}), "old mail")

    assert [(one.id, one.modified) for one in page.items] == [("m1", None)]


def test_a_page_may_be_asked_for_with_fewer_messages():
    assert query_of(wire.older(USER, None, NOON, True, 20))["$top"] == "20"
    for request in (wire.open_folder(USER, "AAMk=", NOON, 10), wire.follow(LINK, 10)):
        assert request.headers["Prefer"].endswith("odata.maxpagesize=10")


@pytest.mark.parametrize(
    "row",
    [
        {"id": "m1", "from": "x"},
        {"id": "m1", "toRecipients": ["x"]},
        {"id": "m1", "sentDateTime": 5},
        None,
        7,
        {"id": 9, "from": 1},
    ],
)
def test_a_row_of_another_shape_is_named_and_hides_nothing_beside_it(row):
    page = answers.read_page(an_answer({"value": [row, {"id": "m2"}]}), "old mail")

    assert [one.id for one in page.items] == ["m2"]
    assert len(page.broken) == 1


def test_no_message_is_given_up_for_an_unreadable_time_of_change():
    rows = [
        {"id": "m0", "lastModifiedDateTime": "2026-11-20T12:00:00Z"},
        {"id": "m1", "lastModifiedDateTime": "lately"},
    ]

    page = answers.read_page(an_answer({"value": rows}), "old mail")

    assert [(one.id, one.modified) for one in page.items] == [("m0", NOON), ("m1", None)]
    assert page.broken == ()


def test_half_a_character_does_not_cost_a_page():
    page = answers.read_page(an_answer(raw=b'{"value": [{"id": "m1", "subject": "\\ud83d"}]}'), "old mail")

    assert page.items[0].subject == "\ud83d"


def test_a_time_without_a_zone_is_utc_and_early_years_are_written_in_full():
    page = answers.read_page(
        an_answer({"value": [{"id": "m1", "receivedDateTime": "2026-11-20T12:00:00"}]}), "old mail"
    )

    assert page.items[0].received == NOON
    assert wire.instant(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("raw", [b"", b"<html>busy</html>", b'{"value": [', b"[]", b'{"value": {}}', b'"x"'])
def test_an_answer_that_is_no_json_of_graph_comes_back_later(raw):
    with pytest.raises(MalformedAnswer, match="old mail"):
        answers.read_page(an_answer(raw=raw), "old mail")


def test_a_batch_of_bodies_says_what_became_of_each():
    body = {"contentType": "html", "content": "<p>x</p>"}
    answer = an_answer(
        {
            "responses": [
                {
                    "id": "1",
                    "status": 200,
                    "headers": {},
                    "body": {"id": "b", "body": {"contentType": "text", "content": "x"}},
                },
                {
                    "id": "0",
                    "status": 200,
                    "body": {
                        "@odata.type": "#microsoft.graph.message",
                        "id": "a",
                        "body": body,
                        "internetMessageHeaders": [{"name": "List-Id", "value": "<x>"}, {"name": None, "value": None}],
                    },
                },
                {"id": "2", "status": 404, "body": {"error": {"code": "ErrorItemNotFound"}}},
                {
                    "id": "3",
                    "status": 429,
                    "headers": {"Retry-After": "7"},
                    "body": {"error": {"code": "ApplicationThrottled"}},
                },
                {"id": "4", "status": 503, "headers": {}, "body": {"error": {"code": "ServiceUnavailable"}}},
                {"id": "5", "status": 403, "body": {"error": {"code": "ErrorAccessDenied"}}},
                {"id": "6", "status": 200, "body": "not an object"},
                {"id": "8", "status": 200, "body": {"id": "i", "body": None}},
                {"id": "9", "status": 424, "body": {"error": {"code": "FailedDependency"}}},
                {"id": "10", "status": 401, "body": {"error": {"code": "InvalidAuthenticationToken"}}},
                {"id": "11", "status": 200, "body": {}},
                {"id": "12", "status": 200, "body": {"id": "m", "body": "odd"}},
                {"id": "13", "status": 400, "body": {"error": {"code": "syncStateNotFound"}}},
            ]
        }
    )

    found = answers.read_bodies(answer, list("abcdefghijklmn"))

    headers = (("List-Id", "<x>"), ("", ""))
    assert found["a"] == Body("<p>x</p>", html=True, headers=headers, type="#microsoft.graph.message")
    assert found["b"] == Body("x", html=False)
    assert found["c"] is None
    assert isinstance(found["d"], Throttled)
    assert found["d"].after == 7
    assert isinstance(found["e"], Unavailable)
    assert isinstance(found["f"], AccessDenied)
    assert isinstance(found["g"], MalformedAnswer)
    assert isinstance(found["h"], Unavailable)
    assert found["i"] == Body("", html=False)
    assert isinstance(found["j"], Unavailable)
    assert isinstance(found["k"], Unavailable)
    assert [found[one].name for one in "lmn" if isinstance(found[one], Broken)] == ["l", "m", "n"]


def test_a_batch_whose_parts_have_another_shape_comes_back_later():
    for parts in ([{"status": 200}], [{"id": "x", "status": 200}], ["odd"], [{"id": "0", "status": None}]):
        with pytest.raises(MalformedAnswer):
            answers.read_bodies(an_answer({"responses": parts}), ["a"])


def test_attachments_are_listed_without_their_bytes():
    parts = orjson.loads(wire.attachments(USER, ["m1"]).body)["requests"]
    assert parts[0]["url"].startswith(
        f"/users/{USER}/messages/m1/attachments?$select=id,name,contentType,size,isInline"
    )
    assert wire.attachment_bytes(USER, "m1", "a1").url.endswith("/messages/m1/attachments/a1/$value")

    rows = [
        {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "id": "a1",
            "name": "logo.png",
            "contentType": "image/png",
            "size": 70,
            "isInline": True,
            "contentId": "<logo>",
        },
        {"@odata.type": "#microsoft.graph.itemAttachment", "id": "a2", "name": None, "size": None},
        {"@odata.type": "#microsoft.graph.referenceAttachment", "id": "a3"},
    ]
    found = answers.read_attachments(
        an_answer(
            {
                "responses": [
                    {"id": "0", "status": 200, "body": {"value": rows}},
                    {"id": "1", "status": 200, "body": {"value": [{}]}},
                ]
            }
        ),
        ["m1", "m2"],
    )

    assert [(one.kind, one.id) for one in found["m1"]] == [("file", "a1"), ("item", "a2"), ("reference", "a3")]
    assert found["m1"][0] == Attachment("a1", "logo.png", "image/png", 70, True, "logo", "file")
    assert isinstance(found["m2"], Broken)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (an_error(410), "CursorGone"),
        (an_error(400, "syncStateNotFound"), "CursorGone"),
        (an_error(404, "resyncRequired"), "CursorGone"),
        (an_error(410, "SyncStateInvalid"), "CursorGone"),
        (an_error(429, "ApplicationThrottled", retry_after="12"), "Throttled"),
        (an_error(503, "ServiceUnavailable", retry_after="5"), "Throttled"),
        (an_error(503, "ServiceUnavailable"), "Unavailable"),
        (an_error(500, "ErrorInternalServerError"), "Unavailable"),
        (an_error(504, ""), "Unavailable"),
        (an_error(409, "ErrorIrresolvableConflict"), "Unavailable"),
        (an_error(401, "InvalidAuthenticationToken"), "SignInRefused"),
        (an_error(403, "ErrorAccessDenied"), "AccessDenied"),
        (an_error(404, "ErrorInvalidUser"), "MailboxMissing"),
        (an_error(404, "MailboxNotEnabledForRESTAPI"), "MailboxMissing"),
        (an_error(404, "ErrorItemNotFound"), "Gone"),
        (an_error(302, location="https://evil.example"), "ForeignLink"),
        (an_error(400, "ErrorInvalidRequest"), "BadItem"),
        (an_answer(raw=b"<html>", status=502), "Unavailable"),
        (an_answer([1], status=500), "Unavailable"),
    ],
)
def test_a_refusal_is_a_class_and_never_repeats_what_the_message_says(answer, kind):
    with pytest.raises(errors.AccordError) as refused:
        answers.read_page(answer, "old mail")

    assert type(refused.value).__name__ == kind
    assert "private text" not in refused.value.sentence
    assert "old mail" in refused.value.sentence


def test_the_time_to_wait_is_what_the_answer_says():
    assert answers.retry_after(an_error(429, retry_after="12")) == 12
    assert answers.retry_after(an_error(429)) == 30
    assert answers.retry_after(an_error(429, retry_after="Wed, 21 Oct")) == 30
    assert answers.retry_after(an_error(429, retry_after="0")) == 1
    assert answers.retry_after(an_error(429, retry_after="inf")) == 3600
    assert answers.retry_after(an_error(429, retry_after="nan")) == 30
    assert answers.retry_after(an_error(429, retry_after="999999999")) == 3600


def test_the_request_id_is_named_for_microsoft_support():
    with pytest.raises(Unavailable, match="request 42"):
        answers.read_page(an_error(500, "x", request_id="42"), "old mail")


@pytest.mark.parametrize("name", ["@odata.nextLink", "@odata.deltaLink"])
@pytest.mark.parametrize("read", [lambda answer: answers.read_page(answer, "a page"), answers.read_folder_page])
def test_a_page_whose_link_leads_elsewhere_is_refused_whole(name, read):
    page = orjson.dumps({"value": [], name: "https://graph.microsoft.com.evil.example/v1.0/x"})

    with pytest.raises(ForeignLink):
        read(Answer(200, {}, page))
