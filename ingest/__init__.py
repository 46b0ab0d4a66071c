"""The front door: verify a webhook, append it, acknowledge it."""
