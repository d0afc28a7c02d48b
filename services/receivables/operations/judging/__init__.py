"""Judging e-documents: grammars, rule sheets and containers, in a confined process."""
