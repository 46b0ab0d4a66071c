"""postcall: the post-call data platform for voice agents."""
