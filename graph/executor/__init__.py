"""A compiled executor: an operation becomes a Python function once, and is run from then on.

It knows GraphQL and Strawberry, and nothing of trading. What it answers is what graphql-core's own executor answers;
what it can't do it says so before anything was resolved, and graphql-core does it. docs/executor.md tells how it works.
"""

from graph.executor.plans import Plans, executed
from graph.executor.room import Room

__all__ = ["Plans", "Room", "executed"]
