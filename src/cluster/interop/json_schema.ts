/** JSON Schema of validators that can give it: [Standard JSON Schema](https://standardschema.dev/json-schema). */
import type { AnyContract } from "../../contract/contract.ts";

/** The part of the interface that is used, written out as its authors advise. */
interface WithJsonSchema {
  readonly jsonSchema?: { readonly input?: (options: { readonly target: string }) => unknown };
}

/** What a plain client sends for a contract, and what it gets, as JSON texts; without what nobody can tell. */
export function jsonSchemas({ options: { input, output } }: AnyContract): { input?: string; output?: string } {
  const [sent, answered] = [jsonSchema(input), jsonSchema(output)];
  return {
    ...(sent === undefined ? {} : { input: sent }),
    ...(answered === undefined ? {} : { output: answered }),
  };
}

/** Of what a schema takes, for that is what travels; what its transforms make is seen by programs that have it. */
function jsonSchema(schema: { readonly "~standard": object } | undefined): string | undefined {
  try {
    const { jsonSchema } = (schema?.["~standard"] ?? {}) as WithJsonSchema;
    return JSON.stringify(jsonSchema?.input?.({ target: "draft-2020-12" }));
  } catch {
    return undefined; // the interface says that it throws for what JSON Schema cannot express
  }
}
