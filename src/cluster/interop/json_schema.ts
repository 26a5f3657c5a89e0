/**
 * Reads the JSON Schema of validators that provide one: [Standard JSON
 * Schema](https://standardschema.dev/json-schema).
 */
import type { AnyContract } from "../../contract/contract.ts";

/** The members of the Standard JSON Schema interface that Catga uses, copied as its authors advise. */
interface WithJsonSchema {
  readonly jsonSchema?: { readonly input?: (options: { readonly target: string }) => unknown };
}

/**
 * Returns the JSON Schemas, as JSON text, of the payload that a plain client sends and of the answer that it gets.
 * Unknown schemas are left out.
 */
export function jsonSchemas({ options: { input, output } }: AnyContract): { input?: string; output?: string } {
  const [sent, answered] = [jsonSchema(input), jsonSchema(output)];
  return {
    ...(sent === undefined ? {} : { input: sent }),
    ...(answered === undefined ? {} : { output: answered }),
  };
}

/**
 * Returns, as JSON text, the JSON Schema of the values that a validator accepts: they are sent as they are, and the
 * receiver parses them. A schema of the values that the validator returns would not describe any message. `undefined`:
 * there is no validator, or it has no JSON Schema.
 */
function jsonSchema(schema: { readonly "~standard": object } | undefined): string | undefined {
  try {
    const { jsonSchema } = (schema?.["~standard"] ?? {}) as WithJsonSchema;
    return JSON.stringify(jsonSchema?.input?.({ target: "draft-2020-12" }));
  } catch {
    return undefined; // unknown: the function throws for types that JSON Schema cannot express
  }
}
