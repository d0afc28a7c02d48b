"""Pure nouns and rules of risk: no I/O, no clock, no framework."""
