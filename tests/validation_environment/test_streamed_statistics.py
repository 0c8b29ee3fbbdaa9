"""TFDV's statistics of rows in batches against those that TFDV computes of all rows at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.validate_data.dataset import StoredSplit
from components.validate_data.divided_statistics import compute_statistics_of, divide
from components.validate_data.statistics import compute_statistics
from components.validate_data.tfdv import array_util, stats_impl, tfdv
from mulgil.errors import InputError


def table(rows: int) -> pa.Table:
    draw = np.random.default_rng(0)
    return pa.table(
        {
            "size": pa.array(draw.normal(size=rows), mask=draw.random(rows) < 0.1),
            "count": draw.integers(0, 50, rows),
            "code": pa.array(np.array(["a", "b", "c", None], dtype=object)[draw.integers(0, 4, rows)]),
            "word": [f"w{i}" for i in draw.integers(0, 3000, rows)],
            "flag": draw.random(rows) < 0.3,
        }
    )


def at_once(rows: pa.Table):
    """What TFDV makes of one Arrow batch."""
    columns = [column.combine_chunks() for column in rows.columns]
    lists = [
        array_util.ToSingletonListArray(
            column.cast(pa.int64()) if pa.types.is_boolean(column.type) else column
        )
        for column in columns
    ]
    batch = pa.RecordBatch.from_arrays(lists, names=rows.column_names)
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def features_of(statistics):
    return {feature.path.step[0]: feature for feature in statistics.datasets[0].features}


@pytest.fixture(scope="module")
def rows():
    return table(20_000)


@pytest.fixture(scope="module")
def whole(rows):
    return features_of(at_once(rows))


@pytest.fixture(scope="module")
def streamed(rows):
    return features_of(compute_statistics(rows.to_batches(max_chunksize=777)))


def test_every_count_is_exact(whole, streamed):
    assert list(streamed) == list(whole)
    for name, feature in whole.items():
        kind = feature.WhichOneof("stats")
        one, other = getattr(feature, kind).common_stats, getattr(streamed[name], kind).common_stats
        for count in ("num_non_missing", "num_missing", "min_num_values", "max_num_values", "tot_num_values"):
            assert getattr(one, count) == getattr(other, count), (name, count)
    for name in ("size", "count", "flag"):
        assert whole[name].num_stats.num_zeros == streamed[name].num_stats.num_zeros
        assert (whole[name].num_stats.min, whole[name].num_stats.max) == (
            streamed[name].num_stats.min,
            streamed[name].num_stats.max,
        )
    ranks = [
        [(b.label, b.sample_count) for b in f["code"].string_stats.rank_histogram.buckets]
        for f in (whole, streamed)
    ]
    assert ranks[0] == ranks[1]
    assert sum(count for _, count in ranks[0]) == whole["code"].string_stats.common_stats.num_non_missing


def test_moments_quantiles_and_different_values_are_within_the_sketches_error(rows, whole, streamed):
    for name in ("size", "count", "flag"):
        one, other = whole[name].num_stats, streamed[name].num_stats
        assert (other.mean, other.std_dev) == pytest.approx((one.mean, one.std_dev), rel=1e-9)
    # TFDV's quantile sketch errs by at most a hundredth in rank.
    size = np.sort(rows["size"].drop_null().to_numpy())
    rank = np.searchsorted(size, streamed["size"].num_stats.median) / len(size)
    assert abs(rank - 0.5) < 0.01
    assert streamed["word"].string_stats.unique == pytest.approx(whole["word"].string_stats.unique, rel=0.02)


def test_a_file_gives_the_same_whatever_its_row_groups(tmp_path, rows, whole):
    pq.write_table(rows, tmp_path / "train.parquet", row_group_size=1000)
    stored = StoredSplit(tmp_path / "train.parquet")

    found = features_of(compute_statistics(stored.batches({"size", "code"})))

    assert sorted(found) == ["code", "size"]
    assert found["size"].num_stats.common_stats == whole["size"].num_stats.common_stats
    assert stored["count"].to_pylist() == rows["count"].to_pylist()


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_divide_the_columns_find_what_one_finds(tmp_path, rows, processes):
    pq.write_table(rows, tmp_path / "train.parquet")
    stored = StoredSplit(tmp_path / "train.parquet")
    names = set(rows.schema.names)

    one = compute_statistics(stored.batches(names))
    several = compute_statistics_of(stored, names, processes)

    for statistics in (one, several):
        # Of thousands of words TFDV's sketch keeps other rare ones each time that it is asked.
        del features_of(statistics)["word"].string_stats.rank_histogram.buckets[100:]
    assert several == one


def test_a_mistake_in_another_process_is_told_as_in_this_one(tmp_path, rows):
    pq.write_table(rows, tmp_path / "train.parquet")
    stored = StoredSplit(tmp_path / "train.parquet")
    (tmp_path / "train.parquet").unlink()

    with pytest.raises(InputError, match="does not exist"):
        compute_statistics_of(stored, set(rows.schema.names), 2)


@pytest.mark.parametrize("parts", range(1, 6))
@pytest.mark.parametrize("costs", [[], [1], [3, 3, 1, 1], [1, 1, 1, 100], [100, 1, 1, 1], [2] * 20])
def test_columns_are_divided_in_their_order_and_evenly(costs, parts):
    divided = divide(costs, parts)

    assert [cost for part in divided for cost in costs[part]] == costs
    assert 1 <= len(divided) <= parts
    assert not costs or all(costs[part] for part in divided)
    assert max(sum(costs[part]) for part in divided) <= sum(costs) / parts + max(costs, default=0)


def test_a_file_without_rows_has_statistics(tmp_path, rows):
    pq.write_table(rows.slice(0, 0), tmp_path / "train.parquet")

    statistics = compute_statistics(StoredSplit(tmp_path / "train.parquet").batches({"size"}))

    assert statistics.datasets[0].num_examples == 0


def test_tfdv_itself_opens_what_is_written(tmp_path, rows):
    statistics = compute_statistics(rows.to_batches(max_chunksize=777))
    (tmp_path / "train.pb").write_bytes(statistics.SerializeToString())

    assert tfdv.load_stats_binary(str(tmp_path / "train.pb")) == statistics
