"""The web edge: problems, access, the issuer, health and serving."""
