// graphql-codegen's client preset over schema.graphql and the operations in typed.ts.
export default {
  schema: "../../schema.graphql",
  documents: "typed.ts",
  generates: {
    "generated/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        scalars: { ID: "string", Decimal: "string", DateTime: "string", JSON: "unknown" },
        strictScalars: true, // a scalar that is not named above is an error, not `any`
        documentMode: "string",
        enumsAsTypes: true,
        useTypeImports: true,
        emitLegacyCommonJSImports: false,
      },
    },
  },
};
