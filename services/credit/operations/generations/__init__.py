"""Generations of a large programme's lines: computed beside them, flipped at once, written chunk by chunk."""
