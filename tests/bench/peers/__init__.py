"""Others, on the same server with the same durability, each in an environment of its own."""
