"""Waits: for events from outside, and for moments."""
