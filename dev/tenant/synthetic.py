"""Mail for the benchmark: one mailbox, as many messages as asked for, the same ones every time.

Counts are exact: a share of the messages is from or to a contact, a quarter is outgoing, the rest are strangers' mails.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

from dev.firm import Client, Firm, FirmMailbox, MailFile, Party
from dev.tenant.compose import composed

OWNER = Party("Robin Marsh", "robin@cedar.example")
_PLACES = ("inbox", "sentitems", "archive")
_BELOW = ("Clients", "Projects", "Suppliers", "Travel", "Newsletters")
_OUTGOING = 0.25
_MONTH = timedelta(days=30)
_WORDS = """
    account agenda amount answer approve arrange assembly attached autumn balance board budget building calendar
    call carry change clause client close column comment compare complete concrete confirm contract copy corner cost
    cover credit customer date deadline decide delay deliver deposit design detail discuss document draft drawing
    early edge estimate evening exact expect extra factory figure file finish floor follow forward freight garden
    glass ground handle harbour hour house idea inform install invoice item journey keep kitchen label later ledger
    letter light limit local machine manage margin market material measure meeting minute month morning narrow north
    notice number offer office opening order outline package panel paper partner payment permit phone plan plant
    plenty point price print process product project promise proof quality quarter question quick quote range reach
    ready receipt recent record region remind rent repair report request reserve result return review revise river
    roof room round route sample schedule season second section send service settle sheet short sign simple site
    small solid spare square stage start station steel step stock store street summer supply survey table tender
    term thank timber tomorrow total tower track trade train transfer travel unit update usual valley value version
    visit wait wall water week weight window winter wood work yard year
"""


def synthetic_firm(
    day: date, messages: int, folders: int, months: int, matching: float, contacts: int, body_kb: float
) -> Firm:
    """A firm with one mailbox. `matching` is the share of messages with a contact; `folders` at least two hold mail.

    Messages are spread evenly over `months` times 30 days that end at 12:00 UTC on the day before `day`.
    """
    if folders < 2 or messages < 1 or months < 1 or contacts < 1 or not 0 <= matching <= 1:
        raise ValueError("A synthetic firm needs a message, a month, a contact, two folders and a share from 0 to 1.")
    chance = random.Random(f"{messages} {folders} {months} {matching} {contacts} {body_kb}")
    people = tuple(
        Party(f"{_name(chance)} {_name(chance)}", f"contact{at}@client{at % 40}.example") for at in range(contacts)
    )
    strangers = tuple(Party(_name(chance), f"sender{at}@elsewhere{at % 97}.example") for at in range(contacts * 4))
    spread = _Spread(day, messages, months)
    matched = set(chance.sample(range(messages), round(messages * matching)))
    outgoing = set(chance.sample(range(messages), round(messages * _OUTGOING)))
    prose = _Prose(chance, body_kb)
    places = _places(folders)
    mail = tuple(
        _mail(chance, at, spread.at(at), (people if at in matched else strangers), at in outgoing, places, prose)
        for at in range(messages)
    )
    clients = tuple(Client(one.name, (one.address,)) for one in people)
    box = FirmMailbox(OWNER.address, OWNER.name, ("r.marsh@cedar.example",), mail)
    return Firm("Cedar Synthetic", ("cedar.example",), (box,), clients)


def quiet_firm(day: date, mailboxes: int, folders: int) -> Firm:
    """A firm with many small mailboxes: one message of a stranger in each of `folders` folders, a day old."""
    when = datetime.combine(day - timedelta(days=1), time(12), UTC)
    boxes = []
    for number in range(mailboxes):
        owner = Party(f"Person {number}", f"person{number}@cedar.example")
        mail = tuple(
            composed(
                author=Party("", "sender@elsewhere.example"),
                to=(owner,),
                subject=f"Notice {at}",
                message_id=f"<{number}.{at}@mail.example>",
                sent=when,
                received=when,
                body="<p>As announced.</p>",
                folder=place,
                name=f"quiet-{number}-{at}",
            )
            for at, place in enumerate(_places(folders))
        )
        boxes.append(FirmMailbox(owner.address, owner.name, mail=mail))
    return Firm("Cedar Quiet", ("cedar.example",), tuple(boxes), ())


class _Spread:
    """Moments at equal distances, newest last."""

    def __init__(self, day: date, messages: int, months: int) -> None:
        self._end = datetime.combine(day - timedelta(days=1), time(12), UTC)
        self._step = months * _MONTH / messages
        self._messages = messages

    def at(self, number: int) -> datetime:
        return (self._end - self._step * (self._messages - 1 - number)).replace(microsecond=0)


class _Prose:
    """Bodies put together from a stock of paragraphs and tables, so that 100 MB of them are made in a second."""

    def __init__(self, chance: random.Random, body_kb: float) -> None:
        self._chance = chance
        self._size = int(body_kb * 1024)
        self.words = _WORDS.split()
        self._stock = [_paragraph(chance, self.words) for _ in range(400)]
        self._stock += [_table(chance, self.words) for _ in range(60)]

    def body(self, number: int) -> str:
        """An HTML body of about the size asked for; the number makes every one different."""
        head = f"<html><head><meta charset='utf-8'></head><body style='font-family:Calibri'><p>Reference {number}</p>"
        parts, size = [head], len(head)
        while size < self._size:
            part = self._chance.choice(self._stock)
            parts.append(part[: self._size - size] if len(part) > self._size - size + 400 else part)
            size += len(parts[-1])
        return "".join((*parts, "</body></html>"))


def _mail(
    chance: random.Random,
    at: int,
    when: datetime,
    others: tuple[Party, ...],
    outgoing: bool,
    places: tuple[str, ...],
    prose: _Prose,
) -> MailFile:
    other = chance.choice(others)
    arrival = [place for place in places if place != "sentitems"]
    return composed(
        author=OWNER if outgoing else other,
        to=(other if outgoing else OWNER,),
        subject=" ".join(chance.choices(prose.words, k=chance.randint(2, 7))).capitalize(),
        message_id=f"<{at}.{chance.getrandbits(64):016x}@mail.example>",
        sent=when,
        received=when if outgoing else when + timedelta(seconds=chance.randint(0, 9)),
        body=prose.body(at),
        folder="sentitems" if outgoing else arrival[at % len(arrival)],
        name=f"synthetic-{at}",
    )


def _places(folders: int) -> tuple[str, ...]:
    more = [f"inbox/{name}" for name in _BELOW] + [f"inbox/Folder {at}" for at in range(9, folders + 1)]
    return (*_PLACES, *more)[:folders]


def _name(chance: random.Random) -> str:
    return "".join(chance.choice(pair) for pair in (("B", "K", "L", "M", "R", "T"), "aeiou", "lmnrst", "aeo", "lnrs"))


def _paragraph(chance: random.Random, words: list[str]) -> str:
    text = " ".join(chance.choices(words, k=chance.randint(20, 90))).capitalize()
    strong = f"<b>{chance.choice(words)}</b> &amp;c."
    shade = f"{chance.randrange(0x404040):06x}"
    return f"<p style='margin:0 0 8pt;color:#{shade}'><span lang='en'>{text}. {strong}</span></p>\r\n"


def _table(chance: random.Random, words: list[str]) -> str:
    rows = "".join(
        f"<tr><td style='padding:2px 6px'>{chance.choice(words)}</td><td>{chance.randint(1, 9999)}</td></tr>"
        for _ in range(chance.randint(3, 12))
    )
    return f"<table border='1' cellspacing='0' style='border-collapse:collapse'>{rows}</table>\r\n"
