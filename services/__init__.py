"""Six services; each knows the others only through shared/events."""
