"""Shows in the schema which scope each operation needs."""

from graphql import GraphQLField, GraphQLSchema

from models.enums import ApiScope
from models.payloads import camel
from resolvers.scopes import NEEDS


def describe_scopes(schema: GraphQLSchema) -> dict[str, ApiScope]:
    """Add to every operation's description what it needs; answers with that, as in `Mutation.placeOrder`.

    Raises `ValueError` for a mutation whose command (the function of the same name) names no scope.
    """
    needed = {}
    for root in (schema.query_type, schema.subscription_type):
        for name, field in root.fields.items() if root else ():
            needed[f"{root}.{name}"] = _said(field, ApiScope.READ, "An API key needs the scope {}.")
    needs = {camel(name): need for name, need in NEEDS.items()}
    for name, field in schema.mutation_type.fields.items() if schema.mutation_type else ():
        if name not in needs:
            raise ValueError(f"{name} needs no scope: decorate its command with `resolvers.scopes.needs`")
        sentence = "An API key needs the scope {}." if needs[name].anonymous else "Needs the scope {}."
        needed[f"Mutation.{name}"] = _said(field, needs[name].scope, sentence)
    return needed


def _said(field: GraphQLField, scope: ApiScope, sentence: str) -> ApiScope:
    field.description = f"{field.description} {sentence.format(scope)}".strip()
    return scope
