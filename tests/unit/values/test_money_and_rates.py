"""Money, rates and identifiers (R3, R24)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.values.ids import InvalidLegalIdentifier, check_legal_identifier, new_id, parse_id
from shared.values.money import InvalidAmount, Money, UnknownCurrency, minor_text, parse_minor, round_half_even
from shared.values.rates import InvalidRate, basis_points, parse_rate, rate_text


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("1000.00", "CNY", 100_000), ("0.5", "EUR", 50), ("7", "JPY", 7), ("-1.25", "USD", -125), ("1.5000", "EUR", 150)],
)
def test_a_decimal_string_means_minor_units(text: str, currency: str, minor: int) -> None:
    assert parse_minor(amount=text, currency=currency) == minor


@pytest.mark.parametrize("text", ["1e3", "1,000", "", "NaN", "0.001", "٣", "01.0", "9" * 18, "1.", ".5", "+1"])
def test_a_string_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_minor(amount=text, currency="CNY")


@pytest.mark.parametrize("currency", ["ABC", "XAU", "cny", "XXX"])
def test_a_code_that_is_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        Money.parse("1.00", currency)


@given(
    minor=st.integers(-9_000_000_000_000_000, 9_000_000_000_000_000), currency=st.sampled_from(["CNY", "JPY", "KWD"])
)
def test_what_is_written_is_read_back(minor: int, currency: str) -> None:
    assert parse_minor(amount=minor_text(amount_minor=minor, currency=currency), currency=currency) == minor


def test_r3_rounding_is_half_to_even() -> None:
    assert [round_half_even(numerator=n, denominator=2) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]


def test_rates_are_millionths_and_shown_in_basis_points() -> None:
    assert parse_rate("0.043500") == 43_500
    assert rate_text(43_500) == "0.043500"
    assert [basis_points(rate) for rate in (43_500, 43_550, -2_000)] == ["435", "435.5", "-20"]
    with pytest.raises(InvalidRate):
        parse_rate("4.35%")


def test_r24_the_check_character_of_a_uscc_decides() -> None:
    assert check_legal_identifier(scheme="uscc", identifier="91512081MA62K0260E") == "91512081MA62K0260E"
    with pytest.raises(InvalidLegalIdentifier):
        check_legal_identifier(scheme="uscc", identifier="91512081MA62K0260F")


def test_r24_an_lei_has_twenty_characters_whatever_its_check_digits_say() -> None:
    assert check_legal_identifier(scheme="lei", identifier="213800KUD8LAJWSQ9D15") == "213800KUD8LAJWSQ9D15"
    with pytest.raises(InvalidLegalIdentifier):
        check_legal_identifier(scheme="lei", identifier="12345676")


def test_ids_are_ordered_by_the_time_they_were_made() -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(made)
    assert parse_id(made[0].upper()) == made[0]
