"""Pure nouns and rules of credit: no I/O, no clock, no framework."""
