"""One module for each Kafka request."""
