"""The private port: SQL over HTTP, liveness and readiness."""
