"""Finds e-mail addresses, phone numbers, US social security numbers, payment cards, IP addresses and IBANs.

Every scan jumps from one character that must be there ('@', ':', a digit that begins a number) to the next,
and no quantifier is unbounded, so the time is linear in the text. Where there is a checksum or a registry, it
is asked.
"""

import ipaddress
import re
from collections.abc import Iterator

from spark_build.modalities.text.pii_numbers import iban_length, is_card_number, is_iban, is_phone_number
from spark_build.modalities.text.spans import Span

KINDS = ("email", "phone", "ssn", "credit_card", "ip", "iban")


def find_pii(text: str) -> list[Span]:
    """Everything that may be personal, sorted; stretches of different kinds may overlap."""
    found = [*_emails(text), *_numbers(text), *_ip6_addresses(text), *_ibans(text)]
    return sorted(set(found))


_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?P<top>xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w-]|\.[^\W_])",
    re.I,
)
_LOCAL_PART_AT_MOST = 64  # RFC 5321, section 4.5.3.1.1
_FILE = re.compile(r"png|jpe?g|gif|svg|webp|avif|bmp|ico|pdf|css|m?js|ts|py|html|json|xml|zip|gz", re.I)


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        local, domain = _local_part(text, at), _DOMAIN.match(text, at + 1)
        # logo@2x.png and git@host:path name files and services, not people
        if local and domain and local != "git" and not _FILE.fullmatch(domain["top"]):
            yield at - len(local), domain.end(), "email"
        at = text.find("@", at + 1)


def _local_part(text: str, at: int) -> str:
    before = text[max(0, at - _LOCAL_PART_AT_MOST - 1) : at]
    start = len(before)
    while start and (before[start - 1].isalnum() or before[start - 1] in "._%+-'&"):
        start -= 1
    local = before[start:].lstrip("._%+-'&")
    return "" if len(local) > _LOCAL_PART_AT_MOST or local.endswith(".") or ".." in local else local


# a number begins here: no word goes on, and no longer number
_NUMBER = re.compile(r"[0-9+(](?<![\w@].)(?<!\d[.\-/:,].)")
_IP4_START = re.compile(r"[0-9](?<![\w@].)(?<!\d\..)(?<!\d,.)")
_STOP = r"(?!\w|[.\-/:,]?\d)"

# each kind looks ahead for itself, so that one try at a place tells all that may stand there
_FUSED = re.compile(
    rf"""
    (?=(?P<card>\d{{13,19}}{_STOP} | \d{{4}}(?P<gap>[ -])\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}}{_STOP}
       | 3\d{{3}}(?P<gap2>[ -])\d{{6}}(?P=gap2)\d{{4,5}}{_STOP}))?
    (?=(?P<ssn>(?!000|666|9)\d{{3}}(?P<gap3>[- ]?)(?!00)\d{{2}}(?P=gap3)(?!0000)\d{{4}}{_STOP}))?
    (?=(?P<us>(?:1[ .-])?(?: \(\d{{3}}\)[ ]?\d{{3}}[ .-]\d{{4}} | \d{{3}}(?P<gap4>[.-])\d{{3}}(?P=gap4)\d{{4}}
       | [2-9]\d\d[ ][2-9]\d\d[ -]\d{{4}} | \d{{3}}/\d{{3}}-\d{{4}}){_STOP}))?
    (?=(?P<world>\(?(?:\+|00(?=[1-9]\d{{0,2}}[ .(/-]))\d{{1,3}}\)?(?:[ ]?[(./-]?\d\)?){{5,14}}{_STOP}))?
    (?=(?P<local>\(?\d\)?(?:[ ]?[(./-]?\d\)?){{6,14}}{_STOP}))?
    """,
    re.X | re.A,
)
_IP4 = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d)", re.A)
_PHONE_WORD = re.compile(
    r"\b(?:tele)?(?:phone|fon|fax)|\b(?:tel|mobile|mob|cell|call|text|whatsapp|sms|handy|dial|reach)\b", re.I
)
_SSN_WORD = re.compile(r"\b(?:ssn|social security|soc sec|taxpayer id)\b", re.I)
_VERSION_WORD = re.compile(r"\b(?:version|ver|release|build|revision|section|chapter|v)\b[.:]?\s*\Z", re.I)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}", re.A)
_BREAK = re.compile(r"[\d\n;?!]|\. ")
_LOOK_BACK = 32  # characters in which a word such as 'phone' counts


def _numbers(text: str) -> Iterator[Span]:
    for start in (match.start() for match in _NUMBER.finditer(text)):
        fused = _FUSED.match(text, start)
        assert fused is not None  # every part of it is optional
        if (card := fused["card"]) and is_card_number(card):
            yield start, start + len(card), "credit_card"
        if (ssn := fused["ssn"]) and (fused["gap3"] == "-" or _word_before(_SSN_WORD, text, start)):
            yield start, start + len(ssn), "ssn"
        if phone := _phone(fused, text, start):
            yield start, start + len(phone), "phone"
    if text.count(".") >= 3:
        yield from _ip4_addresses(text)


def _phone(fused: "re.Match[str]", text: str, start: int) -> str | None:
    if (world := fused["world"]) and is_phone_number(world):
        return world
    if fused["us"]:
        return fused["us"]
    local = fused["local"]
    if local and not _DATE.match(local) and _word_before(_PHONE_WORD, text, start):
        return local
    return None


def _word_before(word: "re.Pattern[str]", text: str, start: int) -> bool:
    """Whether the word stands shortly before, in the same sentence and with no other number between."""
    before = text[max(0, start - _LOOK_BACK) : start]
    ends = [match.end() for match in word.finditer(before)]
    return bool(ends) and not _BREAK.search(before[ends[-1] :].lstrip(".: "))


def _ip4_addresses(text: str) -> Iterator[Span]:
    for start in (match.start() for match in _IP4_START.finditer(text)):
        match = _IP4.match(text, start)
        if match and _names_a_host(match[0]) and not _VERSION_WORD.search(text, max(0, start - 12), start):
            yield start, match.end(), "ip"


_IP6 = re.compile(
    r"[0-9a-f:](?<![\w:.].)(?:[0-9a-f]{0,4}:){1,7}[0-9a-f]{0,4}(?:\.\d{1,3}){0,3}(?![\w:]|\.\d)", re.I | re.A
)


def _ip6_addresses(text: str) -> Iterator[Span]:
    if text.count(":") < 2:
        return
    for match in _IP6.finditer(text):
        # times, slices and C++ names have colons too; an address in use has a long group and a digit
        groups = match[0].split(":")
        if any(len(g) >= 3 for g in groups) and re.search(r"\d", match[0]) and _names_a_host(match[0]):
            yield match.start(), match.end(), "ip"


def _names_a_host(address: str) -> bool:
    """A valid address, and not one that every machine has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified)


_IBAN_START = re.compile(r"[A-Z](?<!\w.)[A-Z]\d\d", re.A)
_IBAN_REST = re.compile(r"(?:[ -]?[A-Z0-9]){7,30}", re.A)


def _ibans(text: str) -> Iterator[Span]:
    for begin in _IBAN_START.finditer(text):
        length = iban_length(begin[0][:2])
        rest = _IBAN_REST.match(text, begin.end())
        end = rest and _end_of_characters(text, begin.start(), rest.end(), length)
        if end and not text[end : end + 1].isalnum() and is_iban(text[begin.start() : end]):
            yield begin.start(), end, "iban"


def _end_of_characters(text: str, start: int, limit: int, count: int | None) -> int | None:
    """Where the `count`th letter or digit ends; gaps don't count."""
    for position in range(start, limit):
        count = None if count is None else count - text[position].isalnum()
        if count == 0:
            return position + 1
    return None
