"""The world outside: a risk office, inventory, payment and shipping, which refuse, fail and dawdle, but honour idempotency keys."""
