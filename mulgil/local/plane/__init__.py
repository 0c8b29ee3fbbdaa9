"""The local serving plane: InferenceServices on this machine, behind a real Envoy.

`client` is what the rest of Mulgil calls. It writes objects to the disk; `supervisor`, a process of its own,
makes the machine match them. The state is on the disk alone, so that either may die at any time.
"""
