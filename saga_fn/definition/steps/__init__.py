"""Steps: what they are made of, their options, and what their failures mean."""
