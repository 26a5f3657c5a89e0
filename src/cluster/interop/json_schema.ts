/** The JSON Schema of validators that provide it: [Standard JSON Schema](https://standardschema.dev/json-schema). */
import type { AnyContract } from "../../contract/contract.ts";

/** The part of the interface that is used here, copied as its authors advise. */
interface WithJsonSchema {
  readonly jsonSchema?: { readonly input?: (options: { readonly target: string }) => unknown };
}

/**
 * The schemas of what a plain client sends for a contract, and of what it gets, as JSON; without those that are not
 * known.
 */
export function jsonSchemas({ options: { input, output } }: AnyContract): { input?: string; output?: string } {
  const [sent, answered] = [jsonSchema(input), jsonSchema(output)];
  return {
    ...(sent === undefined ? {} : { input: sent }),
    ...(answered === undefined ? {} : { output: answered }),
  };
}

/**
 * The schema of the input of a validator, for that is what travels; its output exists only in programs that have it.
 */
function jsonSchema(schema: { readonly "~standard": object } | undefined): string | undefined {
  try {
    const { jsonSchema } = (schema?.["~standard"] ?? {}) as WithJsonSchema;
    return JSON.stringify(jsonSchema?.input?.({ target: "draft-2020-12" }));
  } catch {
    return undefined; // by its interface it throws for what JSON Schema cannot express
  }
}
