"""The alerts fire when they should and not before: by promtool, of Debian's package `prometheus`."""

import subprocess

import pytest
import yaml

from mulgil.home import SOURCE_ROOT

RULES = SOURCE_ROOT / "manifests" / "components" / "monitoring" / "rules.yaml"
DAY = 24 * 60
LABELS = 'namespace="mulgil",model="heart",version="1"'


def _check(folder, command, content):
    path = folder / f"{command}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(
        ["promtool", *command.split("-"), path], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def _look(folder, alert, series, minutes, interval="15m"):
    """Return whether an alert fires after some minutes of series."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(rules), encoding="utf-8")
    fires = {"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": []}
    test = {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [fires],
    }
    code, said = _check(
        folder, "test-rules", {"rule_files": [str(path)], "evaluation_interval": interval, "tests": [test]}
    )
    assert code == 0 or "exp:[" in said, said
    return code != 0


def _predictions(below, week_before, per_look=10):
    """Return two weeks of a model's answers: of each look's, so many are below a half."""
    looks = 7 * DAY // 15
    series = {}
    for bound, last, now in (("0.5", week_before, below), ("+Inf", per_look, per_look)):
        rise = last * looks
        series[f'mulgil_predictions_bucket{{{LABELS},output="p",le="{bound}"}}'] = (
            f"0+{last}x{looks} {rise}+{now}x{looks}"
        )
    series[f'mulgil_predictions_count{{{LABELS},output="p"}}'] = f"0+{per_look}x{2 * looks + 1}"
    return series


def test_the_rules_are_prometheus_own(tmp_path):
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]

    assert _check(tmp_path, "check-rules", rules)[0] == 0
    rules["groups"][0]["rules"][0]["expr"] += " by ("
    assert _check(tmp_path, "check-rules", rules)[0] != 0


@pytest.mark.parametrize(
    ("below", "per_look", "fires"),
    [(5, 10, False), (6, 10, False), (8, 10, True), (2, 10, True), (2, 3, False)],
)
def test_predictions_that_are_not_those_of_a_week_before_are_told_where_there_are_enough(
    tmp_path, below, per_look, fires
):
    series = _predictions(below, 5 if per_look == 10 else 1, per_look)

    assert _look(tmp_path, "MulgilPredictionDrift", series, 14 * DAY - 60) is fires


@pytest.mark.parametrize(("days", "requests", "fires"), [(13, 1, False), (15, 1, True), (15, 0, False)])
def test_a_version_that_has_served_for_two_weeks_is_told_where_it_is_used(tmp_path, days, requests, fires):
    looks = days * DAY // 15
    series = {
        f"mulgil_connections{{{LABELS}}}": f"1x{looks}",
        f'mulgil_requests_total{{{LABELS},protocol="v1",code="200"}}': f"0+{requests}x{looks}",
    }

    assert _look(tmp_path, "MulgilModelStale", series, days * DAY) is fires


def test_a_new_version_is_not_stale(tmp_path):
    looks = 15 * DAY // 15
    series = {
        f"mulgil_connections{{{LABELS}}}": f"1x{looks // 2} _x{looks // 2}",
        'mulgil_connections{namespace="mulgil",model="heart",version="2"}': f"_x{looks // 2} 1x{looks // 2}",
        f'mulgil_requests_total{{{LABELS},protocol="v1",code="200"}}': f"0+1x{looks}",
    }

    assert not _look(tmp_path, "MulgilModelStale", series, 15 * DAY)


@pytest.mark.parametrize(("failed", "fires"), [(0, False), (1, True)])
def test_a_model_that_fails_is_told(tmp_path, failed, fires):
    series = {
        f'mulgil_requests_total{{{LABELS},code="200"}}': "0+50x20",
        f'mulgil_requests_total{{{LABELS},code="500"}}': f"0+{failed}x20",
    }

    # Rates over five minutes need looks that are closer.
    assert _look(tmp_path, "MulgilErrors", series, 15, "1m") is fires
