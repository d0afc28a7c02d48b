"""Pure nouns and rules of settlement: no I/O, no clock, no framework."""
