"""R13: whatever happens to the slices of a root, they tile its face and none is paid twice."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from services.receivables.domain.receivables import Executed, NotPossible
from services.receivables.domain.slices import (
    InvalidSlice,
    SliceState,
    SliceStep,
    VoucherSlice,
    advance_slice,
    counted_minor,
    split,
    whole,
)

MOVES = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from(list(SliceStep)), st.integers(-1, 10**6), st.sampled_from("bcde")),
    max_size=60,
)


def _move(slices: list[VoucherSlice], nth: int, step: SliceStep, *, amount: int, holder: str, ids: count[int]) -> bool:
    """Do one step to one slice; return whether it was possible."""
    piece = slices[nth % len(slices)]
    try:
        if step is SliceStep.REPLACE:
            if piece.state is not SliceState.OFFERED:
                return False
            replaced, made = split(
                piece, amount_minor=amount, transferee_id=holder, slice_ids=[str(next(ids)), str(next(ids))]
            )
            slices[slices.index(piece)] = replaced
            slices += made
            return True
        moved = advance_slice(piece, step)
    except (InvalidSlice, NotPossible):
        return False
    if isinstance(moved, Executed):
        at = slices.index(piece)
        slices[at] = VoucherSlice(piece.slice_id, piece.start_minor, piece.end_minor, piece.holder_id, moved.state)
    return isinstance(moved, Executed)


@given(face=st.integers(1, 10**6), moves=MOVES)
def test_r13_the_slices_of_a_root_always_tile_its_face(face: int, moves: list[tuple[int, SliceStep, int, str]]) -> None:
    ids = count()
    slices = [whole(slice_id=str(next(ids)), face_minor=face, holder_id="a")]
    paid = 0
    for nth, step, amount, holder in moves:
        done = _move(slices, nth, step, amount=amount, holder=holder, ids=ids)
        paid += done and step in {SliceStep.PAY, SliceStep.PAY_HOLDER}
        standing = sorted(
            (each for each in slices if each.state is not SliceState.REPLACED), key=lambda s: s.start_minor
        )
        assert counted_minor(slices) == face
        assert [each.start_minor for each in standing] == [0, *(each.end_minor for each in standing[:-1])]
        assert standing[-1].end_minor == face
    assert paid == sum(each.state is SliceState.PAID for each in slices)


@given(start=st.integers(0, 10**12), size=st.integers(1, 10**12), amount=st.integers(-5, 10**12))
def test_r13_a_split_is_of_the_slice_or_is_refused(start: int, size: int, amount: int) -> None:
    piece = VoucherSlice("s", start, start + size, "a", SliceState.OFFERED)
    try:
        _, made = split(piece, amount_minor=amount, transferee_id="b", slice_ids=["t", "u"])
    except InvalidSlice:
        assert not 0 < amount <= size
        return
    assert sum(each.size_minor for each in made) == size
    assert made[0].size_minor == amount
    assert all(start <= each.start_minor < each.end_minor <= start + size for each in made)
