import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type } from "arktype";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import * as z from "zod";
import { command, event, query, stream, workflow } from "../../mod.ts";
import { validateAsyncapi, validateOpenapi } from "../../test/support/api_documents.ts";
import { edge, type SecurityScheme } from "./mod.ts";

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

/** Contracts whose schemas are named, or contain themselves, by each validator. */
const Money = z.object({ cents: z.int(), currency: z.enum(["EUR", "USD"]) }).meta({ id: "Money" });
const Tree = z.object({
  name: z.string(),
  get children() {
    return z.array(Tree);
  },
});
const Quoted = z.object({ text: z.string() }).meta({ id: "Problem" });
type Branch = { name: string; children: Branch[] };
const Branch: v.GenericSchema<Branch> = v.object({ name: v.string(), children: v.array(v.lazy(() => Branch)) });
const { Leaf } = type.module({ Leaf: { name: "string", children: "Leaf[]" } });
const graph = edge({
  saveTree: command("SaveTree", { input: z.object({ tree: Tree, left: Tree }), output: Tree }),
  getTree: query("GetTree", { input: z.object({ id: z.string() }), output: Tree }),
  quote: query("Quote", { input: z.object({ price: Money, fee: Money }), output: Money }),
  total: query("Total", { input: z.object({ of: z.array(Money) }), output: z.object({ sum: Money, fee: Money }) }),
  explain: command("Explain", { input: z.object({ one: Quoted, other: Quoted }) }),
  branch: command("Branch", { input: toStandardJsonSchema(Branch), output: toStandardJsonSchema(v.array(Branch)) }),
  leaf: command("Leaf", { input: Leaf, output: type({ leaf: Leaf }) }),
  grown: stream("Grown", { input: z.object({ tree: Tree, other: Tree }), items: Tree }),
  moved: event("Moved", { durable: true, input: z.object({ to: Money, from: Money }) }),
});

/** Returns a copy of a description without its title. */
function untitled(description: Record<string, unknown>): Record<string, unknown> {
  return { ...description, info: { version: "1.0.0" } };
}

describe("descriptions of an edge", { timeout: 300_000 }, () => {
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

  it("named and recursive schemas are components, and every reference points to something (none did)", async () => {
    const document = graph.openapi(INFO);
    const events = graph.asyncapi(INFO);
    for (const each of [document, events]) {
      const refs = referencesOf(each);
      assertEquals([refs.length > 0, refs.filter((ref) => !resolves(each, ref))], [true, []]);
    }
    assertEquals(await validateOpenapi(document), { valid: true, errors: [] });
    assertEquals(validateAsyncapi(events), { valid: true, errors: [] });
    const names = Object.keys(componentsOf(document));
    assertEquals(names.filter((name) => name.startsWith("Money")), ["Money", "MoneyInput"]);
    assertEquals(names.filter((name) => name.startsWith("Problem")), ["Problem", "ProblemInput"]);
  });

  it("a schema whose property is called $ref, or whose example has one, is left as it is", () => {
    const Odd = z.object({ $ref: z.string(), properties: z.object({ default: z.string() }) })
      .meta({ id: "Odd", examples: [{ $ref: "#/$defs/nothing" }] });
    const document = edge({ odd: command("Odd", { input: z.object({ first: Odd, second: Odd }) }) }).openapi(INFO);
    const { properties, examples } = componentsOf(document).Odd as Record<string, Record<string, unknown>>;
    assertEquals(properties.$ref, { type: "string" });
    assertEquals(examples as unknown, [{ $ref: "#/$defs/nothing" }]);
  });

  it("an input is required unless its schema takes undefined; no value is an answer where it may be", () => {
    const required = (input: z.ZodType | undefined) => {
      const options = input === undefined ? {} : { input };
      const paths = edge({ ask: query("Ask", options), order: command("Order", options) }).openapi(INFO).paths as Paths;
      const [ask, order] = [paths["/api/ask"], paths["/api/order"]];
      return [ask.get.parameters[0]?.required, ask.post.requestBody?.required, order.post.requestBody?.required];
    };
    assertEquals(required(z.object({ a: z.string() })), [true, true, true]);
    assertEquals(required(z.object({ a: z.string() }).optional()), [false, false, false]);
    assertEquals(required(undefined), [undefined, false, false]);
    const paths = edge({
      none: command("None", { output: z.void() }),
      some: command("Some", { output: z.string() }),
    }).openapi(INFO).paths as Paths;
    assertEquals(["204" in paths["/api/none"].post.responses, "204" in paths["/api/some"].post.responses], [
      true,
      false,
    ]);
  });

  it("queries may be asked by POST, and what the edge itself answers is described", () => {
    const { paths } = api.openapi(INFO) as { paths: Paths };
    const common = ["400", "401", "403", "429", "500", "503", "504"];
    const ofBodies = [...common, "408", "413", "415"].sort();
    const errors = (of: Operation) => Object.keys(of.responses).filter((status) => status >= "400").sort();
    assertEquals(errors(paths["/api/find"].get), common);
    assertEquals(errors(paths["/api/find"].post), ofBodies);
    assertEquals(errors(paths["/api/create"].post), [...ofBodies, "409"].sort());
    assertEquals(errors(paths["/api/trip"].post), ofBodies);
    const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map((each) => each.operationId));
    assertEquals(new Set(ids).size, ids.length);
  });

  it("security: the schemes of the program, any of which is enough, in both formats", async () => {
    const security: Record<string, SecurityScheme> = {
      session: { type: "apiKey", in: "cookie", name: "session" },
      token: { type: "http", scheme: "bearer" },
      login: {
        type: "oauth2",
        flows: { clientCredentials: { tokenUrl: "https://login.example/token", scopes: { orders: "to order" } } },
      },
    };
    const document = api.openapi({ ...INFO, security });
    assertEquals(document.security, [{ session: [] }, { token: [] }, { login: [] }]);
    assertEquals((await validateOpenapi(document)).errors, []);
    const events = api.asyncapi({ ...INFO, security });
    assertEquals(validateAsyncapi(events), { valid: true, errors: [] });
    assertEquals(referencesOf(events).filter((ref) => !resolves(events, ref)), []);
    for (const wrong of [[], { "a b": {} }, { session: "cookie" }]) {
      assertThrows(() => api.openapi({ ...INFO, security: wrong as never }), TypeError, "openapi: security");
    }
  });

  it("asyncapi: messages have the names of their contracts", () => {
    const { components } = api.asyncapi(INFO) as { components: { messages: Record<string, { name: string }> } };
    assertEquals(Object.values(components.messages).map(({ name }) => name), ["Tail", "Letters", "Placed", "Bare"]);
  });
});

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly required?: boolean }[];
  readonly requestBody?: { readonly required: boolean };
  readonly responses: Readonly<Record<string, unknown>>;
}
type Paths = Readonly<Record<string, Readonly<Record<"get" | "post", Operation>>>>;

function componentsOf(document: Record<string, unknown>): Record<string, unknown> {
  return (document.components as { schemas: Record<string, unknown> }).schemas;
}

/** Every reference in a document, but those in examples. */
function referencesOf(part: unknown): string[] {
  if (typeof part !== "object" || part === null) return [];
  return Object.entries(part).flatMap(([key, value]) =>
    key === "$ref" && typeof value === "string" ? [value] : key === "examples" ? [] : referencesOf(value)
  );
}

function resolves(document: unknown, ref: string): boolean {
  if (!ref.startsWith("#/")) return false;
  let found = document;
  for (const key of ref.slice(2).split("/")) found = (found as Record<string, unknown> | undefined)?.[key];
  return found !== undefined;
}
