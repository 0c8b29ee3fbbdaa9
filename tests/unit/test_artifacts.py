"""How what steps hand over reaches the disk."""

from concurrent.futures import ThreadPoolExecutor

from mulgil.artifacts import staged_directory


def test_writers_of_one_directory_at_once_all_succeed_and_leave_one_whole(tmp_path):
    place = tmp_path / "bundle"

    def write(number):
        for _ in range(50):
            with staged_directory(place) as staged:
                for name in "abc":
                    (staged / name).write_text(str(number))

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))

    assert len({(place / name).read_text() for name in "abc"}) == 1
    assert list(tmp_path.iterdir()) == [place]
