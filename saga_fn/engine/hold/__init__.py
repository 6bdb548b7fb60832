"""The holdings of a process: leases, slots, suspects, and who waits for an end."""
