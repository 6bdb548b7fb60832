"""Where sagas live: the `Store` protocol and its two implementations, PostgreSQL and memory."""
