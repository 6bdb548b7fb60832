"""Values that are not there yet: references to them, their types, and how inputs are made of them."""
