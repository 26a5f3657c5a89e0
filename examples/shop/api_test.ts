import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { validateAsyncapi, validateOpenapi } from "../../test/support/api_documents.ts";
import { api } from "./api.ts";

const INFO = { title: "The shop", version: "1", base: "/api" };

describe("the shop's API", () => {
  it("its OpenAPI 3.1 is valid for the official schema, and names what a browser may call", async () => {
    const description = api.openapi(INFO);
    assertEquals(await validateOpenapi(description), { valid: true, errors: [] });
    assertEquals(Object.keys(description.paths as object), [
      "/api/placeOrder",
      "/api/findOrder",
      "/api/aftercare",
      "/api/aftercare/{run}",
    ]);
  });

  it("its AsyncAPI 3 is valid for the official schema, and names its feed", () => {
    const description = api.asyncapi(INFO);
    assertEquals(validateAsyncapi(description), { valid: true, errors: [] });
    assertEquals(Object.keys(description.channels as object), ["placed"]);
  });
});
