"""Pure nouns and rules of onboarding: no I/O, no clock, no framework."""
