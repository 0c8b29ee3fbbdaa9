"""How fast is the model server, beside its peers? Each server on one pinned core, one machine, one run."""
