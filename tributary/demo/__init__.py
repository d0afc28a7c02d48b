"""`tributary demo`: the story of one anchor and its chain, driven through the public HTTP API."""
