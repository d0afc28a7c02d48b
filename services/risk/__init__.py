"""Risk: what the bank thinks of a firm, with its reasons."""
