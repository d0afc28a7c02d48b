"""How events travel: outbox, relay, Kafka, inbox (the protocol of docs/architecture.md)."""
