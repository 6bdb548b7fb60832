"""Why a saga stands where it stands, and what each verb would do: the state machine, asked on a copy.

`reasons.py` says what a saga does or waits for. `preview.py` folds a verb and says what comes of it: at once, if all that runs
succeeds (`course.py`), and in every case (`prospects.py`). `turning.py` says by what a saga may turn back, `keys.py` which
idempotency keys a verb makes others. Nothing here decides anything.
"""
