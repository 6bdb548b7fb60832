"""Small programs to begin from. Each is run by the tests."""
