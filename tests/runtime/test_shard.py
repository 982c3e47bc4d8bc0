import pytest

from distill_nb.runtime import shard
from distill_nb.runtime.shard import Shard


def test_the_shards_of_a_work_have_all_of_it_and_nothing_twice():
    for of in (1, 3, 4, 7):
        items = list(range(50))
        found = [item for one in shard.shards(of) for item in one.every(items)]
        assert sorted(found) == items
        for place in (0.0, 0.2499, 0.25, 0.5, 0.999999):
            assert [one.has(place) for one in shard.shards(of)].count(True) == 1
    assert Shard(2, 4).has(0.25) and Shard(2, 4).every("abcdefg") == ["b", "f"]


def test_a_shard_is_known_by_its_name(tmp_path):
    assert shard.parse("2_of_4") == Shard(2, 4) and str(Shard(2, 4)) == "2_of_4"
    for name in ("2_of_4", "10_of_12", "other", "x_of_2"):
        (tmp_path / name).mkdir()
    assert [f.name for f in shard.folders(tmp_path)] == ["10_of_12", "2_of_4"]
    assert shard.folders(tmp_path / "none") == []


@pytest.mark.parametrize("text", ["5_of_4", "0_of_4", "2-of-4", "two", "1_of_1000"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="shard"):
        shard.parse(text)
