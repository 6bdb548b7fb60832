"""The rules of the state machine, a file a family: what each event does to the steps, and what the new situation asks for.

Every rule is a function that changes a `Fold`, the draft of the next state. The rule of an event returns why it refuses
it, or None; a draft that a refusal leaves behind is thrown away. `transition.py` has the rules over them all.
"""
