"""The requests of callers, senders and operators: starts, events, verbs, outcomes."""
