from uuid import UUID

import pytest

from infrastructure.rows import columns, table, values
from models.accounts import Session, SessionRow, User, UserRow
from tests.support.clock import START


def test_columns_when_asked_for_a_dataclass_then_they_are_in_its_fields_order_and_no_others() -> None:
    assert [column.name for column in columns(UserRow, User)] == list(User.__dataclass_fields__)
    assert "password_hash" in table(UserRow).c


def test_columns_when_a_caller_changes_his_list_then_the_next_has_all_of_them() -> None:
    columns(SessionRow, Session).clear()
    assert len(columns(SessionRow, Session)) == 5


def test_columns_when_a_field_has_no_column_then_it_is_said_at_once() -> None:
    with pytest.raises(KeyError, match="email"):
        columns(SessionRow, User)


def test_values_when_a_row_is_made_of_them_then_it_is_the_same_entity_again() -> None:
    session = Session(UUID(int=1), UUID(int=2), START, None, None)
    assert Session(**values(session)) == session
