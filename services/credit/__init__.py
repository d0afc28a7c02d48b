"""Credit: limits, lines, prices and drawdowns."""
