"""`tributary verify`: the invariants that hold at any moment, also while events are in flight; one file each."""
