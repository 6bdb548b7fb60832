"""One saga that this process owns: folding what happens to it, and acting upon it."""
