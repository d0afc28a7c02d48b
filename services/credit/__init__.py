"""Credit: the limit tree, propagation, lines, price and drawdowns."""
