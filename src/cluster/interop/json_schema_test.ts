import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { query } from "../../contract/definition.ts";
import type { Schema } from "../../contract/schema.ts";
import { jsonSchemas } from "./json_schema.ts";

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
});
