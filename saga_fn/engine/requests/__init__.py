"""What callers, senders and operators ask for: starts, events, verbs, outcomes."""
