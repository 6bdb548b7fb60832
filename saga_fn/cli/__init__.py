"""The command `saga-fn`, for the people who run sagas."""
