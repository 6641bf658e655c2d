from hypothesis import given, settings
from hypothesis import strategies as st

from spark_build.core.tree import Entry, Tree, differing

PATHS = st.text(alphabet='a/"],[\\é', min_size=1, max_size=4)
TREES = st.dictionaries(PATHS, st.integers(0, 2), max_size=6).map(
    lambda files: Tree.of(Entry(path, n, f"{n}" * 4, n == 2) for path, n in files.items())
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(one=TREES, other=TREES)
def test_what_differs_is_found_in_the_text_of_listings(one: Tree, other: Tree) -> None:
    then, here = differing(one.listing, other.listing)
    assert then == sorted(set(one) - set(other))
    assert here == sorted(set(other) - set(one))
