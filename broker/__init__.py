"""The embedded log: one process that speaks the Kafka protocol over SQLite."""
