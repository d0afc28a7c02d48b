"""Receivables: what is owed, confirmed, split, and to which drawdown it is assigned."""
