"""Tools for who develops this library. They are in a checkout and not in the wheel, and nothing of them runs with a saga."""
