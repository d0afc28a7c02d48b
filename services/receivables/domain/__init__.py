"""Pure nouns and rules of receivables: no I/O, no clock, no framework."""
