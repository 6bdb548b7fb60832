"""What a process holds: leases, slots, suspects, and who waits for an end."""
