import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import * as z from "zod";
import { command, event, query, stream, workflow } from "../../mod.ts";
import { validateAsyncapi, validateOpenapi } from "../../test/support/api_documents.ts";
import { edge } from "./mod.ts";

const Create = command("Create", {
  input: z.object({ sku: z.string(), qty: z.int().min(1) }),
  output: z.object({ id: z.string() }),
  failures: ["SOLD_OUT"],
  idempotent: true,
});
const Plain = command("Plain");
const Find = query("Find", { input: z.object({ sku: z.string().optional() }), output: z.array(z.string()) });
const Tail = stream("Tail", { input: z.object({ from: z.int() }), items: z.object({ line: z.string() }) });
const Letters = stream<string, string>("Letters", { resume: (_, last) => last ?? "a" });
const Placed = event("Placed", { input: z.object({ order: z.string() }), durable: true, key: ({ order }) => order });
const Bare = event<{ n: number }>("Bare", { durable: true });
const Trip = workflow("Trip", { input: z.object({ to: z.string() }), output: z.string(), failures: ["LATE"] });
const Packed = Trip.signal("Packed", { input: z.object({ bags: z.int() }) });
const Walk = workflow("Walk");

const api = edge({
  create: [Create, { failures: { SOLD_OUT: 409 } }],
  plain: Plain,
  find: Find,
  tail: Tail,
  letters: Letters,
  placed: Placed,
  bare: Bare,
  trip: [Trip, { tell: { packed: Packed }, cancel: true }],
  walk: Walk,
});
const INFO = { title: "shop", version: "1.0.0", base: "/api" };

/** Returns a copy of a description without its title. */
function untitled(description: Record<string, unknown>): Record<string, unknown> {
  return { ...description, info: { version: "1.0.0" } };
}

describe("descriptions of an edge", () => {
  it("openapi: valid OpenAPI 3.1 for the official schema, which refuses one without a title", async () => {
    assertEquals(await validateOpenapi(api.openapi(INFO)), { valid: true, errors: [] });
    assertEquals((await validateOpenapi(untitled(api.openapi(INFO)))).valid, false);
    assertEquals((await validateOpenapi(edge({}).openapi(INFO))).valid, true);
  });

  it("asyncapi: valid AsyncAPI 3 for the official schema, which refuses one without a title", () => {
    assertEquals(validateAsyncapi(api.asyncapi(INFO)), { valid: true, errors: [] });
    assertEquals(validateAsyncapi(untitled(api.asyncapi(INFO))).valid, false);
    assertEquals(validateAsyncapi(edge({}).asyncapi(INFO)).valid, true);
  });

  it("openapi: the Idempotency-Key is a parameter where it has an effect: not of contracts that make their ids", () => {
    const id = ({ order }: { order: string }) => order;
    const Buy = command<{ order: string }>("Buy", { idempotent: true, id });
    const Order = workflow<{ order: string }>("Order", { id });
    const paths = edge({ create: Create, plain: Plain, trip: Trip, buy: Buy, order: Order }).openapi(INFO).paths;
    const posts = Object.entries(paths as Record<string, { post?: { parameters: { name: string }[] } }>);
    const withKey = posts.filter(([, { post }]) => post?.parameters.some(({ name }) => name === "Idempotency-Key"));
    assertEquals(withKey.map(([path]) => path), ["/api/create", "/api/trip"]);
  });
});
