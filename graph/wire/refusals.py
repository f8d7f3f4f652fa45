"""What is refused before it comes to an operation: the exchange itself is not as HTTP and GraphQL want it."""

from http import HTTPStatus

from graph.codes import Code
from graph.errors import an_error
from graph.wire.answers import Answer


class Refusal(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """An HTTP exchange that ends with this status, and with `answer` as its body."""

    def __init__(self, status: HTTPStatus, message: str, code: Code = Code.BAD_USER_INPUT, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.answer = Answer.refused(an_error(message, code))
        self.answer.headers |= headers


def forbidden(message: str) -> Refusal:
    """403."""
    return Refusal(HTTPStatus.FORBIDDEN, message, Code.FORBIDDEN)


def method_not_allowed(message: str, allow: str) -> Refusal:
    """405."""
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, message, Code.METHOD_NOT_ALLOWED, allow=allow)


def not_acceptable(offers: tuple[str, ...]) -> Refusal:
    """406."""
    message = f"`Accept` has to let one of these through: {', '.join(offers)}."
    return Refusal(HTTPStatus.NOT_ACCEPTABLE, message, Code.NOT_ACCEPTABLE)


def no_http(message: str) -> Refusal:
    """400."""
    return Refusal(HTTPStatus.BAD_REQUEST, message)


def headers_too_slow(seconds_max: float) -> Refusal:
    """408."""
    message = f"The head of a request has to come within {seconds_max:g} seconds."
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, message, Code.REQUEST_TIMEOUT)


def headers_too_large(bytes_max: int) -> Refusal:
    """431."""
    message = f"The head of a request may have {bytes_max} bytes, no more."
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message, Code.PAYLOAD_TOO_LARGE)


def too_large(bytes_max: int) -> Refusal:
    """413."""
    message = f"The body may have {bytes_max} bytes, no more."
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, Code.PAYLOAD_TOO_LARGE, connection="close")


def too_slow(seconds_max: int) -> Refusal:
    """408."""
    message = f"The body has to come within {seconds_max} seconds."
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, message, Code.REQUEST_TIMEOUT, connection="close")


def unsupported_media_type(message: str, **headers: str) -> Refusal:
    """415."""
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message, Code.UNSUPPORTED_MEDIA_TYPE, **headers)
