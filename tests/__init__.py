"""The suite. The asserts of its helpers say what they saw, like those of the tests themselves."""

import pytest

pytest.register_assert_rewrite("tests.support", "tests.stateful")
