"""The views of sagas: snapshots, results, and the cause of a failure."""
