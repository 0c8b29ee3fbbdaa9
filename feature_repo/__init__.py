"""An ordinary Feast repo whose objects are derived from a project's data dictionary.

By hand, from the checkout:

    .venv/bin/feast -c feature_repo apply
    .venv/bin/feast -c feature_repo feature-views list
    .venv/bin/feast -c feature_repo materialize-incremental 2030-01-01T00:00:00

`MULGIL_PROJECT` names the project's folder, relative to the checkout or absolute; `projects/breast_cancer`
where it is not set. `apply` works before the first run too. By hand Feast keeps its state in the checkout's
`.mulgil`, because feature_store.yaml cannot say otherwise: with `MULGIL_HOME` elsewhere, make `.mulgil` a
link to it. By hand it writes to an online store of its own, `online/by_hand_rows.db`, and never to one that a
model reads; those are made by `components.materialize_features` alone, which swaps each in whole.

Feast 0.67 has no telemetry to switch off: its usage reports were taken out before. Its MLflow and OpenLineage
reports are sent only where feature_store.yaml asks for them.
"""
