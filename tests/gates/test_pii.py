import itertools
import time
from collections.abc import Sequence

import pytest
from gate_corpus import item
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spark_build.contract import Verdict
from spark_build.core.errors import BadInput
from spark_build.gates.pii import Params, Pii
from spark_build.modalities.text.pii_patterns import KINDS, find_pii
from spark_build.modalities.text.spans import without_overlaps

POSITIVE = {
    "email": [
        "bob@example.com", "bob.smith@example.com", "bob+spam@example.co.uk", "b@x.io", "o'neil@example.ie",
        "BOB@EXAMPLE.COM", "first_last@sub.sub.example.org", "user-name@my-host.de", "1234@example.com",
        "x%y@example.com", "jos\u00e9@ejemplo.es", "bob@b\u00fccher.de", "a@xn--bcher-kva.example",
        "me@mail.museum", "info@example.travel", "bob@123.com",
    ],
    "phone": [
        "+1 555 123 4567", "+1 (555) 123-4567", "+15551234567", "(555) 123-4567", "555-123-4567",
        "555.123.4567", "1-800-555-0199", "+44 20 7946 0958", "+442079460958", "+49 (0)30 901820",
        "+33 1 23 45 67 89", "+91 98765 43210", "+86 138 0013 8000", "0049 30 901820", "+7 495 123-45-67",
        "212 555 1234", "+353 1 234 5678", "+351 912 345 678",
    ],
    "ssn": [
        "123-45-6789", "001-01-0001", "899-99-9999", "665-12-3456", "667-12-3456", "219-09-9999",
        "078-05-1120", "536-90-4399", "212-09-7694", "457-55-5462", "772-01-0001", "733-12-9999",
        "100-10-1000", "512-33-8765", "321-54-9876",
    ],
    "credit_card": [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4222222222222",
        "5555555555554444", "5105 1051 0510 5100", "2223003122003222", "378282246310005",
        "3714 496353 98431", "6011111111111117", "6011 0009 9013 9424", "30569309025904", "3056 930902 5904",
        "3530111333300000", "6200000000000005", "6759649826438453",
    ],
    "ip": [
        "8.8.8.8", "192.168.1.1", "10.0.0.1", "255.255.255.255", "172.16.254.1", "203.0.113.9", "1.1.1.1",
        "2001:db8::1", "fe80::1", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:db8:85a3::8a2e:370:7334",
        "::ffff:192.0.2.128", "64:ff9b::192.0.2.33", "2606:4700:4700::1111", "fd12:3456:789a:1::1",
    ],
    "iban": [
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432",
        "GB82 WEST 1234 5698 7654 32", "FR1420041010050500013M02606", "NL91ABNA0417164300",
        "BE68539007547034", "CH9300762011623852957", "AT611904300234573201", "ES9121000418450200051332",
        "IT60X0542811101000000123456", "NO9386011117947", "SE4550000000058398257466",
        "PL61109010140000071219812874", "IE29AIBK93115212345678", "DE89-3704-0044-0532-0130-00",
    ],
}  # fmt: skip

NEGATIVE = {
    "email": [
        "@handle", "bob@", "bob@localhost", "a @ b", "logo@2x.png", "git@github.com:org/repo",
        "@app.route('/x')", "x@1.2.3", "bob@example", "pkg@^1.0.0", "a@b", "bob@.com", "bob@-example.com",
        "user@host,com", "@@@@", "f(x)@g(y)", "sprite@3x.webp", ".@.com",
    ],
    "phone": [
        "2024-01-15", "15/01/2024", "2024-01-15 12:30:45", "3.14159265358979", "version 1.2.3",
        "10.0.19041.1234", "1700000000", "12345678901", "1,234,567,890", "$12,345,678.90", "100 200 300",
        "ISBN 978-3-16-148410-0", "550e8400-e29b-41d4-a716-446655440000", "0x1234567890", "+10 000 000",
        "+999 123 456 789", "1-2-3-4-5", "pages 100-200", "12:30-14:45", "2.718281828", "192.168.100.200",
        "1990-2020", "v5551234567", "abc555-123-4567", "555-123-45678", "0.555.123.4567",
    ],
    "ssn": [
        "000-12-3456", "666-12-3456", "900-12-3456", "999-99-9999", "123-00-4567", "123-45-0000",
        "123456789", "123 45 6789", "1123-45-6789", "123-45-67890", "123-456-789", "a123-45-6789",
        "12-345-6789", "123-45-6789-0", "5-123-45-6789", "123-45.6789",
    ],
    "credit_card": [
        "4111111111111112", "1234567890123456", "0000000000000000", "411111111111111", "9999999999999995",
        "4111 1111 1111 1112", "4111 11111111 1111", "4111-1111 1111-1111", "41111111111111111",
        "6304000000000001", "a4111111111111111", "4111111111111111a", "3.4111111111111111", "5600000000",
        "1700000000000", "2720999999999997",
    ],
    "ip": [
        "256.1.1.1", "1.2.3", "1.2.3.4.5", "version 1.2.3.4", "v1.2.3.4", "127.0.0.1", "0.0.0.0", "::1",
        "::", "12:30:45", "std::vector", "Foo::Bar", "x[1::2]", "00:1a:2b:3c:4d:5e", "01.02.03.04",
        "dead::beef::1", "2001:db8::g", "release 10.4.3.2", "a::b", "1.2.3.4a",
    ],
    "iban": [
        "DE89370400440532013001", "GB82WEST1234569876543", "XX89370400440532013000", "DE8937040044053201300",
        "DE893704004405320130000", "ABCD1234567890123456", "FR1420041010050500013M02607",
        "NL91 ABNA 0417 1643 01", "de89370400440532013000", "ADE89370400440532013000",
        "DE00370400440532013000", "GB82", "NO9386011117948", "AA00BBBBCCCCDDDDEEEE",
        "DE89370400440532013000X",
    ],
}  # fmt: skip


def kinds_in(text: str) -> list[tuple[str, str]]:
    return [(text[s:e], kind) for s, e, kind in without_overlaps(find_pii(text))]


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k in KINDS for t in POSITIVE[k]])
def test_what_is_personal_is_found_whole(kind: str, text: str) -> None:
    assert kinds_in(f"Here is {text} for you.") == [(text, kind)]
    assert kinds_in(text) == [(text, kind)]


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k in KINDS for t in NEGATIVE[k]])
def test_what_only_looks_like_it_is_left_alone(kind: str, text: str) -> None:
    assert kind not in [found for _, found in kinds_in(f"Here is {text} for you.")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tel. 555-1234", "555-1234"),
        ("phone: 030 123456", "030 123456"),
        ("call me at 5551234567", "5551234567"),
        ("Mobile number 07700 900123", "07700 900123"),
        ("fax (030) 90 18 20", "(030) 90 18 20"),
    ],
)
def test_a_word_before_makes_a_plain_number_a_phone_number(text: str, expected: str) -> None:
    assert kinds_in(text) == [(expected, "phone")]


def test_a_word_before_makes_nine_digits_a_social_security_number() -> None:
    assert kinds_in("SSN: 123456789") == [("123456789", "ssn")]
    assert kinds_in("Social Security number is 123 45 6789") == [("123 45 6789", "ssn")]


def test_a_date_after_the_word_call_is_no_phone_number() -> None:
    assert kinds_in("call on 2024-01-15") == []


def test_a_security_code_behind_a_card_number_does_not_hide_it() -> None:
    assert kinds_in("4111 1111 1111 1111 123") == [("4111 1111 1111 1111", "credit_card")]


def test_several_kinds_in_one_text_are_all_found() -> None:
    text = (
        "Bob <bob@x.org>, +49 30 901820, from 8.8.8.8:443, pays by DE89 3704 0044 0532 0130 00 BIC COBADEFF."
    )
    assert [kind for _, kind in kinds_in(text)] == ["email", "phone", "ip", "iban"]


def test_the_longer_of_two_overlapping_spans_stays() -> None:
    assert without_overlaps([(0, 5, "ip"), (3, 20, "email"), (20, 22, "ssn")]) == [
        (3, 20, "email"),
        (20, 22, "ssn"),
    ]


# the gate


def verdict_on(text: object, fields: Sequence[str] = (), **params: object) -> Verdict:
    gate = Pii(Params(**params))
    return gate.decide_item(item(text), gate.measure(item(text)), gate.params)


TEXT = "Mail bob@x.org or ann@y.org, card 4111 1111 1111 1111; thanks \U0001f600 \u05d0\u05d1."


def test_redaction_keeps_everything_else() -> None:
    verdict = verdict_on(TEXT)
    assert verdict.fields == {
        "text": "Mail <EMAIL> or <EMAIL>, card <CREDIT_CARD>; thanks \U0001f600 \u05d0\u05d1."
    }
    assert (verdict.action, verdict.counts) == ("replace", {"credit_card": 1, "email": 2})


@pytest.mark.parametrize("action", ["drop", "flag", "fail"])
def test_what_is_not_redacted_is_found_by_its_first_kind(action: str) -> None:
    verdict = verdict_on(TEXT, action=action)
    assert (verdict.action, verdict.reason) == ("drop", "pii:email")
    assert verdict.counts == {"credit_card": 1, "email": 2}


def test_an_action_of_an_earlier_version_says_how_it_is_called_now() -> None:
    with pytest.raises(ValidationError, match="'detect' is called 'flag' now"):
        Params(action="detect")


def test_only_the_kinds_asked_for_are_redacted() -> None:
    assert verdict_on(TEXT, kinds=["credit_card"]).fields == {
        "text": "Mail bob@x.org or ann@y.org, card <CREDIT_CARD>; thanks \U0001f600 \u05d0\u05d1."
    }


def test_a_kind_that_is_not_asked_for_hides_no_other() -> None:
    # the phone number is part of the IBAN, which alone counts where both do
    text = "DE89 3704 0044 0532 0130 00"
    assert verdict_on(text, kinds=["phone"]).fields == {"text": "DE89 3704 <PHONE>"}


def test_the_replacement_is_the_users() -> None:
    assert verdict_on("to a@b.de!", replacement="[{kind}]").fields == {"text": "to [email]!"}
    assert verdict_on("to a@b.de!", replacement="").fields == {"text": "to !"}


def test_clean_text_is_kept_as_it_is() -> None:
    assert verdict_on("nothing to see in 2024") == Verdict.keep()


def test_chat_messages_are_redacted_one_by_one() -> None:
    chat = [{"role": "user", "content": "I am a@b.de"}, {"role": "assistant", "content": "Hello"}]
    assert verdict_on(chat).fields == {"text": [{"role": "user", "content": "I am <EMAIL>"}, chat[1]]}


def test_only_named_fields_are_touched() -> None:
    gate = Pii(Params(fields=["text"]))
    both = item("a@b.de", other="c@d.de")
    assert gate.decide_item(both, gate.measure(both), gate.params).fields == {"text": "<EMAIL>"}


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadInput, match="reads the field 'body'"):
        Pii(Params(fields=["body"])).measure(item("x"))


def test_a_field_of_numbers_is_refused() -> None:
    with pytest.raises(BadInput, match="can't read the field 'text'"):
        Pii(Params(fields=["text"])).measure(item(4.0))


def test_names_of_people_need_a_model() -> None:
    with pytest.raises(ValidationError, match="'person' is found by engine: presidio with a model alone"):
        Params(kinds=["person"])


FRAGMENTS = st.sampled_from(
    [
        "a@b.de", "@", "+49 30 901820", "4111111111111111", "555-123-4567", "8.8.8.8", "::", "fe80::1", "1",
        ".", "-", " ", "(", "DE89370400440532013000", "123-45-6789", "\n", "\u200b", "\U0001f600", "\u0661",
        "x", "phone ",
    ]
)  # fmt: skip


@given(st.lists(FRAGMENTS | st.text(max_size=5), max_size=30).map("".join))
@settings(max_examples=300, deadline=None)
def test_spans_lie_inside_the_text_and_redaction_removes_just_them(text: str) -> None:
    spans = without_overlaps(find_pii(text))
    assert all(0 <= s < e <= len(text) for s, e, _ in spans)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    kept = "".join(
        text[a:b] for a, b in zip([0, *(s[1] for s in spans)], [*(s[0] for s in spans), None], strict=True)
    )
    verdict = verdict_on(text, replacement="")
    assert (verdict.fields or {}).get("text", text) == kept


HOSTILE = [
    "a@", "@", "a@b.", "1", "1-", "1 ", "1.", "1:", "a:", ":", "+1", "(", "(+", "12 ", "123-45-", "AB12 ",
    "A", "'", "phone ", "phone 1 ", "+49 ", "abcd:", "-", "a.", "x@x-", "\u0661", "4111 ", "::1 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    started = time.process_time()
    find_pii(text)
    assert time.process_time() - started < 5  # quadratic time would be minutes


@pytest.fixture(scope="module")
def presidio() -> Pii:
    pytest.importorskip("presidio_analyzer", reason="the extra 'presidio' is not installed")
    return Pii(Params(engine="presidio"))


def test_presidio_finds_each_kind_with_no_network(presidio: Pii, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    text = (
        "Mail bob@example.com, call +1 212-555-1234, my SSN is 536-90-4399, card 4111 1111 1111 1111, "
        "IP address 8.8.8.8, IBAN DE89370400440532013000."
    )
    verdict = presidio.decide_item(item(text), presidio.measure(item(text)), presidio.params)
    assert verdict.fields == {
        "text": "Mail <EMAIL>, call <PHONE>, my SSN is <SSN>, card <CREDIT_CARD>, "
        "IP address <IP>, IBAN <IBAN>."
    }


def test_presidio_with_a_spacy_folder_finds_names(
    presidio: Pii, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import spacy

    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")  # a rule stands for the trained tagger, which is not shipped
    ruler.add_patterns([{"label": "PERSON", "pattern": "Ada Lovelace"}])
    folder = tmp_path_factory.mktemp("spacy") / "names"
    pipeline.to_disk(folder)
    gate = Pii(Params(engine="presidio", model="names"), {"model": folder})
    met = item("I met Ada Lovelace.")
    assert gate.decide_item(met, gate.measure(met), gate.params).fields == {"text": "I met <PERSON>."}
