"""What the feed keeps of an event, and how a reader's language says it."""

from __future__ import annotations

from datetime import date

import pytest

from services.console.api.languages import Language, language
from services.console.domain.facts import key_facts

ENGLISH, CHINESE = language("en"), language("zh")


def test_key_facts_keep_amounts_and_short_lists_and_count_the_rest() -> None:
    amount = {"amount": "1.00", "currency": "CNY"}
    body = {
        "name": "x" * 1000,
        "principal": amount,
        "terms": {"limit": amount, "max_tier": 2, "list": [1]},
        "reasons": ["a", "b"],
        "documents": [{"document_id": "d"}] * 3,
        "codes": ["c"] * 11,
        "nothing": None,
    }
    assert key_facts(body) == {
        "name": "x" * 300,
        "principal": amount,
        "terms_limit": amount,
        "terms_max_tier": 2,
        "reasons": ["a", "b"],
        "documents": 3,
        "codes": 11,
    }


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123_456_789, "CNY", "1,234,567.89"),
        (1_234_567, "JPY", "1,234,567"),
        (-5, "EUR", "-0.05"),
        (9_000_000_000_000_000, "CNY", "90,000,000,000,000.00"),
        (1_000, "KWD", "1.000"),
        (None, "CNY", "–"),
    ],
)
def test_r3_amounts_are_shown_to_the_last_minor_unit(minor: int | None, currency: str, text: str) -> None:
    assert ENGLISH.minor(minor, currency) == text
    assert CHINESE.minor(minor, currency) == text


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (ENGLISH, ("2026-03-05", "above automatic approval, unrated", "Firm", "00000009", "1.00 CNY", "upstream")),
        (CHINESE, ("2026年3月5日", "超过自动审批限额, 未评级", "Firm", "00000009", "1.00 CNY", "上游")),
    ],
)
def test_facts_read_in_the_readers_language(reader: Language, expected: tuple[str, ...]) -> None:
    known, unknown = "019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-000000000009"
    said = (
        reader.fact("due_date", "2026-03-05", names={}),
        reader.fact("reasons", ["above_automatic_approval", "unrated"], names={}),
        reader.fact("enterprise_id", known, names={known: "Firm"}),
        reader.fact("enterprise_id", unknown, names={}),
        reader.fact("principal", {"amount": "1.00", "currency": "CNY"}, names={}),
        reader.fact("direction", "upstream", names={}),
    )
    assert said == expected
    assert reader.day(date(2026, 3, 5)) == expected[0]


def test_ids_instants_and_dates_in_an_event_read_as_a_person_writes_them() -> None:
    firm, other = "01a225c5-d594-73da-a62c-d56d8fb5e7bf", "01a225c5-d594-73da-a62c-d56d8fb5e7c0"
    english, chinese = language("en"), language("zh")
    assert english.fact("seller_id", firm, names={firm: "Huai River"}) == "Huai River"
    assert english.fact("seller_id", other, names={firm: "Huai River"}) == "8fb5e7c0"
    assert english.fact("reason", f"set off in netting {other}", names={}) == "set off in netting 8fb5e7c0"
    assert english.fact("accept_by", "2026-12-02T05:27:31.982765Z", names={}) == "2026-12-02 05:27 UTC"
    assert chinese.fact("valid_from", "2026-12-02", names={}) == "2026年12月2日"
    assert english.fact("reference", "2026-12-021", names={}) == "2026-12-021"
