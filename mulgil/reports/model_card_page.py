"""A registered model version as a page: what it is for, how good it is and where, and what it is not for.

Source:
    Mitchell and others (2019), Model cards for model reporting, FAT*.
"""

from __future__ import annotations

from mulgil.artifacts import BundleManifest, Evaluation, Verdict
from mulgil.contract import DataDictionary, ProjectFolder
from mulgil.registry import VersionDetails
from mulgil.reports.decision_figures import draw_decision
from mulgil.reports.page import open_templates
from mulgil.reports.slice_figures import draw_slices


def render_model_card(
    details: VersionDetails,
    bundle: BundleManifest,
    dictionary: DataDictionary,
    evaluation: Evaluation,
    verdict: Verdict,
    folder: ProjectFolder | None,
) -> str:
    """Write the card as one HTML file that opens without a network.

    Args:
        details: The version.
        bundle: Its manifest.
        dictionary: The bundle's.
        evaluation: What it was measured at.
        verdict: What the gates said of it.
        folder: The project, where it is at hand: the problem in the words of those who have it.
    """
    return (
        open_templates()
        .get_template("card.html.jinja")
        .render(
            details=details,
            bundle=bundle,
            dictionary=dictionary,
            evaluation=evaluation,
            verdict=verdict,
            project=folder.project if folder else None,
            slices=draw_slices(evaluation),
            unmeasured=[one for one in evaluation.slices if one.score is None],
            decision=draw_decision(evaluation.decision) if evaluation.decision else [],
        )
    )
