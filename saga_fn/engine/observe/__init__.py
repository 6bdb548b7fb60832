"""What happens in this process, told to whoever wants to know: the log, metrics, traces, tests."""
