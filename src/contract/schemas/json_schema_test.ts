import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { Schema as S } from "effect";
import { z } from "zod";
import { query } from "../declaration/definition.ts";
import type { Schema } from "./schema.ts";
import { jsonSchemaOf, jsonSchemas } from "./json_schema.ts";
import { describeContract } from "./shape.ts";

describe("jsonSchemas", () => {
  it("describes what travels: the input side of both schemas", () => {
    const Typed = query("Typed", {
      input: z.object({ at: z.string().transform((text) => new Date(text)) }),
      output: z.string().transform((text) => text.length),
    });
    const { input, output } = jsonSchemas(Typed);
    const { type, properties } = JSON.parse(input!);
    assertEquals([type, properties.at.type], ["object", "string"]);
    assertEquals(JSON.parse(output!).type, "string");
  });

  it("is empty for a contract without schemas, and for validators without JSON Schema", () => {
    const validator: Schema<string> = { "~standard": { version: 1, vendor: "own", validate: () => ({ value: "" }) } };
    assertEquals(jsonSchemas(query<void, string>("Plain")), {});
    assertEquals(jsonSchemas(query("Own", { input: validator })), {});
  });

  it("leaves out what JSON Schema cannot express", () => {
    assertEquals(jsonSchemas(query("Dated", { input: z.object({ at: z.date() }) })), {});
  });

  it("leaves out a JSON Schema that is no JSON: it has a bigint, or contains itself (requests for them failed)", () => {
    const circular: Record<string, unknown> = { type: "object" };
    circular.properties = { self: circular };
    for (const made of [{ const: 1n }, circular]) {
      const jsonSchema = { input: () => made };
      const validator = {
        "~standard": { version: 1, vendor: "own", validate: (value: unknown) => ({ value }), jsonSchema },
      };
      const own = query("Own", { input: validator as never });
      assertEquals(jsonSchemas(own), {});
      assertEquals(describeContract(own), { kind: "query", input: null });
    }
  });

  it("leaves out what effect's schema has another JSON for: a Date, which the validator takes as a Date", () => {
    const dated = S.toStandardSchemaV1(S.toStandardJSONSchemaV1(S.Struct({ at: S.Date })));
    assertEquals(jsonSchemas(query("Dated", { input: dated as never })), {});
  });
});

describe("jsonSchemaOf", () => {
  it("is the input side, and undefined where the library has none or throws", () => {
    const made = jsonSchemaOf(z.object({ n: z.string().transform(Number) }) as never);
    assertEquals((made as { properties: unknown }).properties, { n: { type: "string" } });
    assertEquals(jsonSchemaOf(z.object({ at: z.date() }) as never), undefined);
    assertEquals(
      jsonSchemaOf({ "~standard": { version: 1, vendor: "x", validate: (value) => ({ value }) } }),
      undefined,
    );
  });
});
