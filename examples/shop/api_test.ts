import { assertEquals } from "@std/assert";
import specs from "@asyncapi/specs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { describe, it } from "node:test";
import { api } from "./api.ts";

const INFO = { title: "The shop", version: "1", base: "/api" };

describe("the shop's API", () => {
  it("its OpenAPI 3.1 is valid for the official schema, and names what a browser may call", async () => {
    const description = api.openapi(INFO);
    const { valid, errors } = await new Validator().validate(description);
    assertEquals([errors ?? [], valid], [[], true]);
    assertEquals(Object.keys(description.paths as object), [
      "/api/placeOrder",
      "/api/findOrder",
      "/api/aftercare",
      "/api/aftercare/{run}",
    ]);
  });

  it("its AsyncAPI 3 is valid for the official schema, and names its feed", () => {
    const ajv = new Ajv({ allErrors: true, strict: false });
    addFormats.default(ajv);
    const validate = ajv.compile(specs.schemasWithoutId["3.0.0"] as object);
    const description = api.asyncapi(INFO);
    validate(description);
    assertEquals(validate.errors ?? [], []);
    assertEquals(Object.keys(description.channels as object), ["placed"]);
  });
});
