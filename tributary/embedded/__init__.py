"""A real PostgreSQL and a real Apache Kafka, obtained and run from packages alone (an optional extra)."""
