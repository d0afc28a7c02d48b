"""When goods carry so much less than the loan on them needs that more security is called for (R6)."""

from __future__ import annotations

from shared.values.rates import MILLION, share_of


def called(*, lacking_minor: int, principal_minor: int, above: int, asked_minor: int) -> int:
    """Return how much security is called for; zero when none is.

    A loan is called once what its goods lack is more than so much of its principal (`above`, millionths), and again
    each time that it has grown by as much. A call stands until nothing is lacking: goods that rise a little end none.
    """
    if lacking_minor == 0:
        return 0
    worth_telling = share_of(amount=principal_minor, millionths=above)
    return lacking_minor if lacking_minor - asked_minor > worth_telling else asked_minor


def goods_for(*, lacking_minor: int, advance_rate: int) -> int:
    """Return what goods must carry, before the advance rate, for what is lacking; rounded up."""
    return -(-lacking_minor * MILLION // advance_rate)
