"""Analyzers: what turns a transcript into an insight."""
