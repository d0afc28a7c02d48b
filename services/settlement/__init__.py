"""Settlement: the business day, the money that moves, and the books that say so."""
