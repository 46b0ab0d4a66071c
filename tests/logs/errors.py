"""What can go wrong on the way to a log for tests."""

from __future__ import annotations


class NoKafka(Exception):
    """No Apache Kafka can be had; the message says why in one line."""


class NotOurs(Exception):
    """The Apache Kafka that was named holds topics of somebody else, and tests delete all topics."""
