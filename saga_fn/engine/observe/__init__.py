"""Facts of this process, told to observers: the log, metrics, traces, tests."""
