"""What is counted by size is the same whether it comes alone, with a few, or with many."""

from hypothesis import given
from hypothesis import strategies as st

from mulgil.serving.metrics import Histogram
from mulgil.serving.shared_numbers import SharedNumbers

BOUNDS = (-1.0, 0.0, 0.25, 1.0, 1e6)


def render(numbers, observe):
    histogram = Histogram(SharedNumbers(), "answers", "What was answered.", BOUNDS)
    observe(histogram, numbers)
    return [line for line in histogram.render("") if "_sum" not in line]


@given(st.lists(st.sampled_from([*BOUNDS, -1e9, 0.1, 1e9]) | st.floats(-2, 2), min_size=1, max_size=100))
def test_numbers_count_the_same_together_as_one_by_one(numbers):
    alone = render(numbers, lambda histogram, all_: [histogram.observe(number) for number in all_])

    assert render(numbers, lambda histogram, all_: histogram.observe_all(all_)) == alone
    assert alone[-1].endswith(f" {len(numbers)}"), "every number is in a bucket"
