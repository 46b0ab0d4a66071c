"""A simulated vendor: calls that read like calls, signed, posted and recorded."""
