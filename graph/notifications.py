"""What users are told of, on the wire."""

from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from typing import Annotated, Any

import strawberry

import models.notifications as domain
from graph.base import (
    After,
    Before,
    Connection,
    First,
    Info,
    Input,
    Last,
    Node,
    command,
    following,
    global_id,
    identified,
    input_id,
    page_args,
    paged,
    resolved,
    stands_for,
)
from graph.errors import Payload, answering
from graph.weights import PAGE_MAX, at_most
from models.enums import Severity
from resolvers.alerts import commands, queries
from resolvers.events import streams
from resolvers.paging import Page


def _subject(parent: strawberry.Parent[domain.Notification], info: Info) -> object:
    from graph.nodes import found  # noqa: PLC0415 - reason: nodes knows every type of node, this one too

    if parent.subject_type is None or parent.subject_id is None:
        return None
    return found(info.context, global_id(parent.subject_type, parent.subject_id), "subject")


@strawberry.type(description="Something that a user was told of.")
class Notification(Node):
    """Shows `models.notifications.Notification`."""

    is_type_of = stands_for(domain.Notification)

    id: strawberry.ID = identified("Notification")
    severity: Severity = strawberry.field(description="How much it matters.")
    title: str = strawberry.field(description="It in a few words.")
    body: str = strawberry.field(
        description="All of it. Times are in the time zone that the user preferred when they were told."
    )
    subject: Node | None = resolved(
        _subject, "What it is about, as it is now: an order, a position, a portfolio, an instrument; null for none."
    )
    created_at: datetime = strawberry.field(description="When they were told.")
    read_at: datetime | None = strawberry.field(description="When they marked it as read; null while they have not.")


@strawberry.type(description="A page of notifications.")
class NotificationConnection(Connection[Notification]):
    """Newest first."""


@strawberry.type(description="What marking notifications as read answers with.")
class NotificationsPayload(Payload):
    """The notifications, or why not."""

    notifications: list[domain.Notification] = strawberry.field(
        graphql_type=list[Notification],
        default_factory=list,
        description="As they are now, in the order asked for.",
        directives=[at_most(PAGE_MAX)],
    )


@strawberry.input(description="Which notifications were read.")
class MarkNotificationsReadInput:
    """For `markNotificationsRead`."""

    ids: list[strawberry.ID] = strawberry.field(
        description="The notifications, as many as a page may have; all are marked or none."
    )


UnreadOnly = Annotated[bool | None, strawberry.argument(description="Only those that were not read; all if not given.")]


def _notifications_of_user(
    parent: strawberry.Parent[Any],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    unread_only: UnreadOnly = None,
) -> Awaitable[Page[domain.Notification]]:
    args = page_args(first, after, last, before)
    chosen = queries.NotificationChoice(bool(unread_only))
    return queries.notifications_of(info.context, parent.id, args, chosen)


@strawberry.type
class UserNotifications:
    """What a user has of notifications."""

    notifications: NotificationConnection = paged(
        _notifications_of_user,
        "What they were told; newest first. Only their own to see: for an ADMIN who looks at another user, empty.",
    )


@answering(NotificationsPayload)
async def _mark_read(info: Info, asked: Input[MarkNotificationsReadInput]) -> NotificationsPayload:
    ids = [input_id(given, "Notification", "ids") for given in asked.ids]
    done = await commands.mark_notifications_read(info.context, ids)
    return NotificationsPayload(notifications=done.value)


@strawberry.type
class NotificationMutations:
    """What can be done about notifications."""

    mark_notifications_read: NotificationsPayload = command(_mark_read, "Mark notifications as read.")


def _follow_notifications(info: Info) -> AsyncIterator[domain.Notification]:
    return streams.notifications(info.context)


@strawberry.type
class NotificationSubscriptions:
    """What users are told, as they are told it."""

    notifications: Notification = following(
        _follow_notifications,
        "What the caller is told, from now on. After a break ask for `User.notifications`, which has them all.",
        Notification,
    )
