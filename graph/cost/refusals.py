"""What is too much, and what would not be."""

from graphql import GraphQLError

from graph.codes import Code


class TooComplex(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """The operation is refused before it is executed; `error` says why."""

    def __init__(self, message: str, code: Code = Code.TOO_COMPLEX, **extensions: object) -> None:
        super().__init__(message)
        self.error = GraphQLError(message, extensions={"code": code, **extensions})

    @classmethod
    def deep(cls, path: str, most: int) -> "TooComplex":
        """Too many fields in each other."""
        return cls(
            f"The operation goes deeper than {most} fields, at `{path}`: ask for that by another one.", most=most
        )

    @classmethod
    def fields(cls, count: int, most: int) -> "TooComplex":
        """Too many fields at the root."""
        return cls(f"The operation has {count} fields at its root: it may have {most}. Send several.", most=most)

    @classmethod
    def aliases(cls, count: int, most: int) -> "TooComplex":
        """Too many aliases."""
        return cls(f"The operation has {count} aliases, fragments spread out: it may have {most}.", most=most)

    @classmethod
    def directives(cls, count: int, most: int) -> "TooComplex":
        """Too many directives."""
        return cls(f"The document has {count} directives: it may have {most}.", most=most)

    @classmethod
    def items(cls, name: str, count: int, most: int) -> "TooComplex":
        """Too long a list in the input."""
        return cls(f"`{name}` has a list of {count} items: it may have {most}.", most=most)

    @classmethod
    def intricate(cls) -> "TooComplex":
        """Too many ways in which fragments come together."""
        return cls("The operation's fragments come together in too many ways: write it with fewer of them.")

    @classmethod
    def dear(cls, cost: int, most: int, dearest: tuple[str, int], page: int) -> "TooComplex":
        """Too costly; `page` is the longest that its pages may be to fit, 0 if none fits."""
        path, part = dearest
        message = f"The operation may cost {cost} points, and one may cost {most}: `{path}` alone is {part} of them. "
        message += (
            f"With pages of {page} at most it would fit."
            if page
            else "No page size makes it fit: ask for fewer fields."
        )
        return cls(message, Code.COST_EXCEEDED, cost=cost, most=most, pageSizeThatFits=page or None)
