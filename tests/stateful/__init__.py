import pytest

pytest.register_assert_rewrite(
    "tests.stateful.compare", "tests.stateful.machine", "tests.stateful.pit", "tests.support.rebuild"
)
