/** Schemas for tests. */
import type { Schema, SchemaIssue } from "../../src/contract/schemas/schema.ts";

/** A Standard Schema that counts how often it is run. */
export function counting<In, Out>(parse: (value: In) => Out | Promise<Out>): Schema<In, Out> & { runs: number } {
  const schema = {
    runs: 0,
    "~standard": {
      version: 1 as const,
      vendor: "test",
      validate(value: unknown) {
        schema.runs++;
        const parsed = parse(value as In);
        return parsed instanceof Promise ? parsed.then((value) => ({ value })) : { value: parsed };
      },
    },
  };
  return schema;
}

/** A Standard Schema that refuses everything. */
export function refusing(...issues: SchemaIssue[]): Schema<unknown, never> {
  return { "~standard": { version: 1, vendor: "test", validate: () => ({ issues }) } };
}
