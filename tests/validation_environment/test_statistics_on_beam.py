"""The Beam pipeline, run by Beam's own local runner, against the statistics of one machine."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.validate_data.on_beam import main
from components.validate_data.statistics import compute_statistics, find_anomalies
from components.validate_data.tfdv import tfdv

PROJECT = """\
name: spread
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: parquet, location: rows.parquet}
"""
DICTIONARY = """\
columns:
  - {name: who, role: entity, type: integer, description: d}
  - {name: seen, role: event_timestamp, type: timestamp, description: d}
  - {name: size, type: float, range: [-10, 10], missing: mean, description: d}
  - {name: count, type: integer, range: [0, 50], description: d}
  - {name: code, type: category, categories: [a, b, c], missing: new_category, description: d}
  - {name: ill, role: target, type: boolean, description: d}
"""
FILES = 3


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project.yaml").write_text(PROJECT)
    (tmp_path / "data_dictionary.yaml").write_text(DICTIONARY)
    draw = np.random.default_rng(0)
    for number in range(FILES):
        rows = pa.table(
            {
                "who": range(400),
                "seen": pa.array([0] * 400, pa.timestamp("us", "UTC")),
                "size": pa.array(draw.normal(size=400), mask=draw.random(400) < 0.1),
                "count": draw.integers(0, 50, 400),
                "code": pa.array(np.array(["a", "b", "c", None], dtype=object)[draw.integers(0, 4, 400)]),
                "ill": draw.random(400) < 0.3,
            }
        )
        pq.write_table(rows, tmp_path / f"rows-{number}.parquet", row_group_size=150)
    return tmp_path


def run(project, pattern="rows-*.parquet"):
    return main(
        [
            f"--project-path={project}",
            f"--rows-pattern={project / pattern}",
            f"--output-path={project / 'out'}",
            "--",
            "--runner=FnApiRunner",
        ]
    )


def of_one_machine(project):
    tables = [pq.ParquetFile(path).read() for path in sorted(project.glob("rows-*.parquet"))]
    rows = pa.concat_tables(tables).drop(["who", "seen"])
    return compute_statistics(rows.to_batches())


def test_beam_finds_what_one_machine_finds(project, capsys):
    assert run(project) == 0

    found = tfdv.load_stats_binary(str(project / "out" / "statistics.pb"))
    one = {f.path.step[0]: f for f in of_one_machine(project).datasets[0].features}
    beam = {f.path.step[0]: f for f in found.datasets[0].features}
    assert found.datasets[0].num_examples == FILES * 400
    assert sorted(beam) == sorted(one) == ["code", "count", "ill", "size"]
    for name, feature in one.items():
        kind = feature.WhichOneof("stats")
        expected, received = getattr(feature, kind), getattr(beam[name], kind)
        for count in ("num_non_missing", "num_missing", "tot_num_values"):
            assert getattr(received.common_stats, count) == getattr(expected.common_stats, count)
        if kind == "num_stats":
            assert (received.min, received.max, received.num_zeros) == (
                expected.min,
                expected.max,
                expected.num_zeros,
            )
            assert (received.mean, received.std_dev) == pytest.approx((expected.mean, expected.std_dev))
        else:
            assert received.unique == expected.unique
            assert received.rank_histogram == expected.rank_histogram
    assert "Approved" in capsys.readouterr().out


def test_beam_finds_the_anomalies_of_one_machine_and_says_no(project, capsys):
    dictionary = project / "data_dictionary.yaml"
    dictionary.write_text(DICTIONARY.replace("[0, 50]", "[0, 30]").replace("[a, b, c]", "[a, b]"))

    assert run(project) == 3

    said = capsys.readouterr().err
    assert "count: " in said
    assert "code: " in said
    found = tfdv.load_anomalies_text(str(project / "out" / "anomalies.pbtxt"))
    assert sorted(found.anomaly_info) == ["code", "count"]
    assert found == find_anomalies(of_one_machine(project), found.baseline)


def test_files_that_are_not_there_or_have_other_columns_are_refused_before_a_pipeline_begins(project, capsys):
    assert run(project, "nowhere-*.parquet") == 2
    assert "No file is there" in capsys.readouterr().err
    rows = pq.ParquetFile(project / "rows-0.parquet").read()
    pq.write_table(rows.drop(["size"]), project / "other.parquet")
    assert run(project, "other.parquet") == 2
    assert "size" in capsys.readouterr().err
    assert not (project / "out").exists()
