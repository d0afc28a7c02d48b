"""Pure nouns and rules of console: no I/O, no clock, no framework."""
