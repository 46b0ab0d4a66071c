"""The requests of the Kafka protocol that this broker answers, one file each."""
