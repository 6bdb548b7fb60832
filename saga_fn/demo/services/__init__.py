"""The world outside: inventory, payment and shipping, which refuse, fail and dawdle, but honour idempotency keys."""
