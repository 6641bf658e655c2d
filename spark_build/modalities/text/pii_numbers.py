"""Numbers with rules: payment cards, IBANs, international phone numbers."""

import re

# first digits -> lengths, by issuer: ISO/IEC 7812 as the issuers publish it
_CARD_RANGES: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, (16,)), (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)), (37, 37, (15,)),  # American Express
    (6011, 6011, (16, 19)), (644, 649, (16, 19)), (65, 65, (16, 19)),  # Discover
    (300, 305, (14,)), (36, 36, (14,)), (38, 39, (14,)),  # Diners Club
    (3528, 3589, (16, 17, 18, 19)),  # JCB
    (62, 62, (16, 17, 18, 19)), (81, 81, (16, 17, 18, 19)),  # UnionPay
    (50, 50, (13, 14, 15, 16, 17, 18, 19)), (56, 58, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (6304, 6304, (16, 18, 19)), (6759, 6759, (16, 18, 19)), (6761, 6763, (16, 18, 19)),
)  # fmt: skip


def is_card_number(text: str) -> bool:
    """An issuer's first digits and length, and the checksum of Luhn (ISO/IEC 7812-1, annex B)."""
    digits = _digits(text)
    return _is_issued(digits) and luhn(digits)


def luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_issued(digits: str) -> bool:
    return any(
        len(digits) in lengths and first <= int(digits[: len(str(first))]) <= last
        for first, last, lengths in _CARD_RANGES
    )


# ISO 13616: the IBAN registry, country -> characters in all
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FK FI FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA",
        "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def iban_length(country: str) -> int | None:
    return _IBAN_LENGTHS.get(country)


def is_iban(text: str) -> bool:
    """The country's length and the check digits (ISO 7064, mod 97-10)."""
    characters = re.sub(r"[ -]", "", text)
    if len(characters) != _IBAN_LENGTHS.get(characters[:2]):
        return False
    return int("".join(str(int(c, 36)) for c in characters[4:] + characters[:4])) % 97 == 1


# ITU-T E.164, list of assigned country codes
_TWO_DIGIT_CODES = re.compile(r"2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
_THREE_DIGIT_CODES = re.compile(
    r"2(?:1[1-8]|[2-6]\d|9[017-9])|3(?:5\d|7\d|8[0-35-79])|42[013]|5(?:0\d|9\d)|6(?:7[02-9]|8\d|9[0-2])"
    r"|8(?:00|08|5[02356]|70|8\d)|9(?:6[0-8]|7[0-79]|9[2-68])"
)


def is_phone_number(text: str) -> bool:
    """An assigned country code and 8 to 15 digits in all (E.164, section 6.2.1); 11 in North America."""
    digits = _digits(text)
    if "+" not in text:
        digits = digits.removeprefix("00")
    if digits.startswith("1"):
        return len(digits) == 11 and digits[1] >= "2"
    is_assigned = digits[:1] == "7" or _TWO_DIGIT_CODES.match(digits) or _THREE_DIGIT_CODES.match(digits)
    return bool(is_assigned) and 8 <= len(digits) <= 15


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
