import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { seededRandom } from "../../memory/seeded_random.ts";
import { reads } from "./compatibility.ts";
import type { Compatibility } from "./compatibility/verdict.ts";
import { type JsonSchema, jsonSchemaOf } from "./json_schema.ts";

/** Returns a verdict of `reads` as one line: `yes`, the paths, or `unknown:` and the keyword. */
function words(verdict: Compatibility): string {
  if (verdict.reads === "no") return verdict.paths.join("; ");
  return verdict.reads === "yes" ? "yes" : `unknown: ${verdict.keyword}`;
}

function input(schema: z.ZodType): JsonSchema {
  const made = jsonSchemaOf(schema as never);
  if (made === undefined) throw new Error("zod made no JSON Schema");
  return made;
}

const object = z.object;

describe("reads, of zod schemas", () => {
  const person = object({
    name: z.string(),
    get friend() {
      return person.optional();
    },
  });
  const taller = object({
    name: z.string(),
    get friend() {
      return taller.optional();
    },
    height: z.number(),
  });
  const sale = object({ t: z.literal("sale"), price: z.number() });
  const refund = object({ t: z.literal("refund"), reason: z.string() });

  const cases: readonly (readonly [change: string, writer: z.ZodType, reader: z.ZodType, verdict: string])[] = [
    [
      "an optional member is added",
      object({ a: z.string() }),
      object({ a: z.string(), b: z.string().optional() }),
      "yes",
    ],
    ["a member with a default is added", object({}), object({ b: z.string().default("x") }), "yes"],
    [
      "a required member is added",
      object({ a: z.string() }),
      object({ a: z.string(), buyer: z.string() }),
      "buyer: required by the reader, not written",
    ],
    ["a required member goes", object({ a: z.string(), b: z.string() }), object({ a: z.string() }), "yes"],
    [
      "an optional member is required",
      object({ a: z.string().optional() }),
      object({ a: z.string() }),
      "a: required by the reader, may be left out",
    ],
    [
      "a member is renamed",
      object({ seat: z.string(), buyer: z.string() }),
      object({ seat: z.string(), holder: z.string() }),
      "holder: required by the reader, not written",
    ],
    ["an enum member is read", object({ c: z.enum(["web"]) }), object({ c: z.enum(["web", "app"]) }), "yes"],
    [
      "an enum member is written",
      object({ channel: z.enum(["web", "app", "kiosk"]) }),
      object({ channel: z.enum(["web", "app"]) }),
      'channel: "kiosk" is not among web, app',
    ],
    [
      "a string becomes an enum",
      object({ c: z.string() }),
      object({ c: z.enum(["web", "app"]) }),
      "c: string is written, only web, app is read",
    ],
    ["a union is read", object({ v: z.string() }), object({ v: z.union([z.string(), z.number()]) }), "yes"],
    [
      "a union is written",
      object({ v: z.union([z.string(), z.number()]) }),
      object({ v: z.string() }),
      "v: number is written, string is read",
    ],
    ["an integer is read", object({ n: z.number() }), object({ n: z.int() }), "n: number is written, integer is read"],
    ["an integer is written", object({ n: z.int() }), object({ n: z.number() }), "yes"],
    ["an email is written", object({ e: z.email() }), object({ e: z.string() }), "yes"],
    ["an email where one character is enough", z.email(), z.string().min(1), "unknown: pattern"],
    [
      "null is written",
      object({ s: z.string().nullable() }),
      object({ s: z.string() }),
      "s: null is written, string is read",
    ],
    ["null is read", object({ s: z.string() }), object({ s: z.string().nullable() }), "yes"],
    [
      "of items",
      object({ lines: z.array(object({ a: z.string() })) }),
      object({ lines: z.array(object({ a: z.string(), b: z.number() })) }),
      "lines[].b: required by the reader, not written",
    ],
    [
      "a strict reader",
      object({ a: z.string(), x: z.string() }),
      z.strictObject({ a: z.string() }),
      "x: written, not known to the reader",
    ],
    ["a strict reader of the same members", object({ a: z.string() }), z.strictObject({ a: z.string() }), "yes"],
    [
      "a strict reader, a loose writer",
      z.looseObject({ a: z.string() }),
      z.strictObject({ a: z.string() }),
      "*: more members are written than the reader takes",
    ],
    [
      "a member of a tagged union is read",
      z.discriminatedUnion("t", [sale]),
      z.discriminatedUnion("t", [sale, refund]),
      "yes",
    ],
    [
      "a member of a tagged union is written",
      object({ v: z.discriminatedUnion("t", [sale, refund]) }),
      object({ v: z.discriminatedUnion("t", [sale]) }),
      'v: t "refund" is not among sale',
    ],
    [
      "a member of a tagged union changes",
      z.discriminatedUnion("t", [sale, refund]),
      z.discriminatedUnion("t", [sale, refund.extend({ by: z.string() })]),
      "by: required by the reader, not written",
    ],
    [
      "a longer text is needed",
      object({ s: z.string().min(1) }),
      object({ s: z.string().min(3) }),
      "s: 1 characters may be written, at least 3 are read",
    ],
    [
      "a smaller number is written",
      object({ n: z.number().min(1) }),
      object({ n: z.number().gt(1) }),
      "n: a number >= 1 is written, a number > 1 is read",
    ],
    ["another pattern", z.string().regex(/^a+$/), z.string().regex(/^b+$/), "unknown: pattern"],
    ["an enum for a pattern", z.enum(["aa"]), z.string().regex(/^a+$/), "unknown: pattern"],
    [
      "a record",
      z.record(z.string(), z.string()),
      z.record(z.string(), z.number()),
      "*: string is written, number is read",
    ],
    [
      "a record of listed names",
      z.record(z.enum(["a", "b"]), z.number()),
      z.strictObject({ a: z.number(), b: z.number() }),
      "yes",
    ],
    ["members as a record", object({ a: z.number() }), z.record(z.string(), z.number()), "yes"],
    [
      "a longer tuple",
      z.tuple([z.string()]),
      z.tuple([z.string(), z.number()]),
      "the whole: 1 items may be written, at least 2 are read",
    ],
    [
      "a shorter tuple",
      z.tuple([z.string(), z.number()]),
      z.tuple([z.string()]),
      "[1]: written, not read; the whole: 2 items may be written, at most 1 are read",
    ],
    ["a recursive schema", person, person.extend({}), "yes"],
    [
      "a recursive schema with another member",
      person,
      taller,
      "height: required by the reader, not written",
    ],
    ["a recursive schema that writes more", taller, person, "yes"],
    [
      "an intersection that a strict reader lacks",
      z.intersection(object({ a: z.string() }), object({ b: z.string() })),
      z.strictObject({ a: z.string() }),
      "b: written, not known to the reader",
    ],
    ["booleans as literals", z.boolean(), z.union([z.literal(true), z.literal(false)]), "yes"],
    [
      "several patterns, unchanged",
      object({ s: z.string().regex(/a/).regex(/b/) }),
      object({ s: z.string().regex(/a/).regex(/b/), t: z.string().optional() }),
      "yes",
    ],
    [
      "a member that is never written",
      object({ a: z.never().optional() }),
      z.strictObject({ a: z.string().optional() }),
      "yes",
    ],
    ["a text that is transformed", object({ n: z.string() }), object({ n: z.string().transform(Number) }), "yes"],
    ["what is described", object({ a: z.string().describe("one") }), object({ a: z.string().describe("two") }), "yes"],
    ["anything is read", object({ a: z.string() }), object({ a: z.unknown() }), "yes"],
  ];
  for (const [change, writer, reader, verdict] of cases) {
    it(`${change}: ${verdict}`, () => assertEquals(words(reads(input(reader), input(writer))), verdict));
  }
});

describe("reads, of JSON Schemas", () => {
  const text = { type: "string" };
  const number = { type: "number" };
  const of = (properties: Record<string, JsonSchema>, more: object = {}) => ({
    ...{ type: "object", properties, required: Object.keys(properties) },
    ...more,
  });
  const cases: readonly (readonly [trap: string, writer: JsonSchema, reader: JsonSchema, verdict: string])[] = [
    ["another format", { type: "string", format: "email" }, { type: "string", format: "uuid" }, "unknown: format"],
    ["a format", text, { type: "string", format: "date" }, "the whole: any string is written, format date is read"],
    ["the format of another library", { type: "string", format: "email", pattern: "@" }, {
      type: "string",
      format: "email",
    }, "unknown: format"],
    [
      "multipleOf",
      number,
      { type: "number", multipleOf: 0.5 },
      "the whole: any number is written, multiples of 0.5 are read",
    ],
    ["multipleOf of a constant", { const: 1 }, { type: "number", multipleOf: 0.5 }, "unknown: multipleOf"],
    [
      "uniqueItems",
      { type: "array", items: text },
      { type: "array", items: text, uniqueItems: true },
      "the whole: items may be written twice, the reader takes each once",
    ],
    [
      "contains",
      { type: "array", items: text },
      { type: "array", items: text, contains: { const: "a" } },
      "unknown: contains",
    ],
    [
      "minProperties",
      { type: "object" },
      { type: "object", minProperties: 2 },
      "the whole: 0 members may be written, at least 2 are read",
    ],
    ["propertyNames", { type: "object", additionalProperties: number }, {
      type: "object",
      additionalProperties: number,
      propertyNames: { pattern: "^a" },
    }, "*: any string is written, pattern ^a is read"],
    [
      "propertyNames of declared members",
      of({ b: text }),
      { type: "object", propertyNames: { enum: ["a"] } },
      'b: "b" is not among a',
    ],
    [
      "dependentRequired",
      of({ a: text }),
      of({ a: text }, { dependentRequired: { a: ["b"] } }),
      "unknown: dependentRequired",
    ],
    ["not", text, { type: "string", not: { const: "x" } }, "unknown: not"],
    ["not, written", { type: "string", not: { const: "x" } }, text, "yes"],
    [
      "not, written where others are read",
      { type: "string", not: { const: "x" } },
      { type: "string", minLength: 1 },
      "unknown: not",
    ],
    ["if", text, { type: "string", if: { minLength: 1 }, then: { minLength: 5 } }, "unknown: if"],
    ["if, written", { type: "object", properties: {}, if: {}, then: of({ x: text }) }, {
      type: "object",
      additionalProperties: false,
    }, "unknown: if"],
    [
      "contentEncoding",
      text,
      { type: "string", contentEncoding: "base64" },
      "the whole: any string is written, contentEncoding base64 is read",
    ],
    ["patternProperties, read", { type: "object", additionalProperties: text }, {
      type: "object",
      patternProperties: { "^n": number },
    }, "unknown: patternProperties"],
    ["patternProperties, written", { type: "object", properties: {}, patternProperties: { "^n": number } }, {
      type: "object",
      additionalProperties: false,
    }, "unknown: patternProperties"],
    [
      "unevaluatedProperties",
      of({ a: text }),
      of({}, { unevaluatedProperties: false }),
      "unknown: unevaluatedProperties",
    ],
    ["allOf", text, { allOf: [text, { minLength: 4 }] }, "the whole: 0 characters may be written, at least 4 are read"],
    ["allOf, written", { allOf: [text, { minLength: 4 }] }, { type: "string", minLength: 3 }, "yes"],
    [
      "allOf with a closed part, written",
      { allOf: [of({ a: text }, { additionalProperties: false }), of({ b: text })] },
      of({}),
      "unknown: allOf",
    ],
    ["anything", {}, text, "the whole: anything is written, string is read"],
    [
      "anything for an untyped format",
      {},
      { format: "email" },
      "the whole: any string is written, format email is read",
    ],
    [
      "an object of any members",
      { type: "object" },
      of({}, { additionalProperties: false }),
      "*: more members are written than the reader takes",
    ],
    [
      "an object of any members for an optional one",
      { type: "object" },
      { type: "object", properties: { a: text } },
      "a: anything is written, string is read",
    ],
    [
      "a required member that is not declared",
      { type: "object", properties: {}, required: ["a"] },
      of({ a: text }),
      "a: anything is written, string is read",
    ],
    ["oneOf whose members overlap", number, { oneOf: [number, { type: "integer" }] }, "unknown: oneOf"],
    [
      "oneOf whose members overlap, a value",
      { const: 1 },
      { oneOf: [number, { type: "integer" }] },
      "the whole: 1 fits 2 members of the reader's union",
    ],
    ["oneOf whose members are apart", number, { oneOf: [number, text] }, "yes"],
    ["a union whose members cover it together", number, {
      anyOf: [{ type: "number", maximum: 5 }, { type: "number", minimum: 5 }],
    }, "unknown: anyOf"],
    [
      "anyOf beside oneOf",
      text,
      { type: "string", anyOf: [{ minLength: 1 }], oneOf: [{ minLength: 1 }] },
      "unknown: oneOf",
    ],
    [
      "anyOf beside other keywords",
      { const: "ab" },
      { type: "string", minLength: 3, anyOf: [{ const: "ab" }, text] },
      'the whole: "ab" is longer or shorter than what is read',
    ],
    ["an enum beside other keywords", { const: "ab" }, { enum: ["ab"], minLength: 3 }, "unknown: minLength"],
    ["a length in UTF-16 units", { const: "😀" }, { type: "string", maxLength: 1 }, "unknown: maxLength"],
    ["a value of an enum that its type excludes", { type: "string", enum: ["a", null] }, text, "yes"],
    ["items as in older drafts", { type: "array", items: [text] }, { type: "array", items: [text] }, "unknown: items"],
    ["a prefix whose rest is not said", { type: "array", prefixItems: [text] }, { type: "array", items: text }, "yes"],
    ["items of any kind", { type: "array" }, { type: "array", items: text }, "[]: anything is written, string is read"],
    [
      "a reference beside a keyword",
      of({ a: { $ref: "#/$defs/t", minLength: 2 } }, { $defs: { t: text } }),
      of({ a: { type: "string", minLength: 3 } }),
      "a: 2 characters may be written, at least 3 are read",
    ],
    ["a reference to another document", { $ref: "https://example.com/a" }, text, "unknown: $ref"],
    ["a reference to nothing", { $ref: "#/$defs/none" }, text, "unknown: $ref"],
    ["a reference to itself", { $ref: "#" }, text, "unknown: $ref"],
    ["a reader that is itself and more", text, { type: "string", allOf: [{ $ref: "#" }] }, "unknown: $ref"],
    ["one definition under two meanings", { $defs: { t: text }, type: "array", items: { $ref: "#/$defs/t" } }, {
      $defs: { t: number },
      type: "array",
      items: { $ref: "#/$defs/t" },
    }, "[]: string is written, number is read"],
    ["two constants that differ by a title", { const: { title: "a" } }, { const: { title: "b" } }, "unknown: const"],
    ["a member called title", of({ title: text }), of({ title: number }), "title: string is written, number is read"],
    [
      "a member called as one of every object",
      of({}),
      of({ constructor: text }),
      "constructor: required by the reader, not written",
    ],
    [
      "equal schemas, whatever is in them",
      { type: "string", if: {}, then: {} },
      { then: {}, if: {}, type: "string" },
      "yes",
    ],
    ["a keyword that is none", { type: 5 } as never, text, "unknown: type"],
    ["nothing", false, text, "yes"],
    ["nothing is read", text, false, "the whole: written, not read"],
  ];
  for (const [trap, writer, reader, verdict] of cases) {
    it(`${trap}: ${verdict}`, () => assertEquals(words(reads(reader, writer)), verdict));
  }

  it("a reference with further keywords, one object in both schemas, resolves in the schema that it stands in", () => {
    const shared = { $ref: "#/$defs/code", description: "a code", minLength: 1 };
    const schema = (type: string) => ({ type: "object", properties: { code: shared }, $defs: { code: { type } } });
    assertEquals(words(reads(schema("string"), schema("string"))), "yes");
    assertEquals(words(reads(schema("string"), schema("number"))), "code: number is written, string is read");
  });

  it("a schema that is nested too deep, or is too large, is unknown", () => {
    let deep: JsonSchema = text;
    for (let i = 0; i < 5_000; i++) deep = { type: "array", items: deep };
    assertEquals(words(reads({ type: "array", items: deep }, deep)), "unknown: size");
    const wide = {
      type: "object",
      properties: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`m${i}`, text])),
    };
    assertEquals(words(reads({ ...wide, minProperties: 1 }, wide)), "unknown: size");
  });

  it("unions of unions end, with a verdict or unknown", () => {
    let read: JsonSchema = of({ t: { const: 0 } });
    for (let i = 1; i < 20; i++) read = { anyOf: [of({ a: read }), of({ a: read, b: text })] };
    let written: JsonSchema = of({ t: { const: 1 } });
    for (let i = 1; i < 20; i++) written = { anyOf: [of({ a: written }), of({ a: written, b: text })] };
    assertEquals(reads(read, written).reads === "yes", false);
  });
});

// A property of `reads`, tested on random schemas: where the verdict is yes, the reader refuses no value that was
// written.

describe("reads, of drawn schemas", () => {
  const pairs = 150;
  for (const seed of [1, 2, 3, 4]) {
    it(`seed ${seed}: no value that is written is refused where the verdict is yes`, () => {
      const found = drawPairs(seed, pairs);
      assertEquals(found.wrong, []);
      // the random pairs lead to all three verdicts
      assertEquals([found.yes > 10, found.no > 10, found.unknown > 0], [true, true, true]);
    });
  }

  it("a wrong yes is found", () => {
    const wrong: typeof reads = (reader, writer) => {
      const verdict = reads(reader, writer);
      return verdict.reads === "no" && verdict.paths.some((each) => each.includes("is not among"))
        ? { reads: "yes" }
        : verdict;
    };
    assertEquals(drawPairs(1, 150, wrong).wrong.length > 0, true);
  });
});

/**
 * The description of a schema, from which the test can make the schema, a changed version of it, and values that fit
 * it.
 */
type Spec =
  & (
    | { t: "text"; min?: number; max?: number }
    | { t: "email" | "uuid" | "date" | "boolean" | "integer" }
    | { t: "number"; min?: number; above?: number; most?: number }
    | { t: "enum"; of: string[] }
    | { t: "literal"; value: string | number | boolean | null }
    | { t: "object"; mode: "strip" | "strict" | "loose"; of: Record<string, Spec> }
    | { t: "array"; of: Spec; min?: number; max?: number }
    | { t: "union" | "tuple" | "both"; of: Spec[] }
    | { t: "nullable" | "record" | "listed"; of: Spec }
    | { t: "tagged"; of: Record<string, Spec> }
    | { t: "tree"; of: Spec }
  )
  & { optional?: boolean };

/**
 * Makes `count` random pairs of schemas, and 60 random values of each writer, and checks the verdict of `judge` on each
 * pair.
 */
function drawPairs(seed: number, count: number, judge = reads) {
  const random = seededRandom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)];
  const leaf = (): Spec =>
    pick<() => Spec>([
      () => ({ t: "text", ...pick([{}, { min: 1 }, { min: 3 }]), ...pick([{}, { max: 5 }]) }),
      () => ({ t: "number", ...pick([{}, { min: 0 }, { min: 2 }, { above: 1 }]), ...pick([{}, { most: 9 }]) }),
      () => ({ t: pick(["email", "uuid", "date", "boolean", "integer"] as const) }),
      () => ({ t: "enum", of: pick([["a", "b"], ["a", "b", "c"], ["a"]]) }),
      () => ({ t: "literal", value: pick(["a", 1, true, null]) }),
    ])();
  const part = (depth: number): Spec => {
    const made = draw(depth);
    return random() < 0.4 ? { ...made, optional: true } : made;
  };
  const draw = (depth: number): Spec => {
    if (depth === 0 || random() < 0.3) return leaf();
    return pick<() => Spec>([
      () => ({
        ...{ t: "object", mode: pick(["strip", "strict", "loose"] as const) },
        of: Object.fromEntries(["a", "b", "c"].slice(0, 1 + below(3)).map((name) => [name, part(depth - 1)])),
      }),
      () => ({ t: "array", of: draw(depth - 1), ...pick([{}, { min: 1 }, { max: 2 }]) }),
      () => ({ t: "union", of: [draw(depth - 1), draw(depth - 1)] }),
      () => ({ t: "tuple", of: [draw(depth - 1), draw(depth - 1)].slice(0, 1 + below(2)) }),
      () => ({ t: pick(["nullable", "record", "listed"] as const), of: draw(depth - 1) }),
      () => ({
        t: "tagged",
        of: Object.fromEntries(["x", "y"].slice(0, 1 + below(2)).map((tag) => [tag, draw(depth - 1)])),
      }),
      () => ({
        t: "both",
        of: ["a", "b"].map((name): Spec => ({ t: "object", mode: "strip", of: { [name]: draw(depth - 1) } })),
      }),
      () => ({ t: "tree", of: draw(depth - 1) }),
    ])();
  };
  const base = (spec: Spec): z.ZodType => {
    switch (spec.t) {
      case "text": {
        const text = z.string().min(spec.min ?? 0);
        return spec.max === undefined ? text : text.max(spec.max);
      }
      case "number": {
        let number = z.number();
        if (spec.min !== undefined) number = number.min(spec.min);
        if (spec.above !== undefined) number = number.gt(spec.above);
        return spec.most === undefined ? number : number.max(spec.most);
      }
      case "email":
        return z.email();
      case "uuid":
        return z.uuid();
      case "date":
        return z.iso.date();
      case "boolean":
        return z.boolean();
      case "integer":
        return z.int();
      case "enum":
        return z.enum(spec.of);
      case "literal":
        return z.literal(spec.value);
      case "nullable":
        return make(spec.of).nullable();
      case "array": {
        const array = z.array(make(spec.of)).min(spec.min ?? 0);
        return spec.max === undefined ? array : array.max(spec.max);
      }
      case "union":
        return z.union(spec.of.map(make));
      case "tuple":
        return z.tuple(spec.of.map(make) as [z.ZodType]);
      case "both":
        return z.intersection(make(spec.of[0]), make(spec.of[1]));
      case "record":
        return z.record(z.string(), make(spec.of));
      case "listed":
        return z.record(z.enum(["a", "b"]), make(spec.of));
      case "tagged":
        return z.discriminatedUnion(
          "k",
          Object.entries(spec.of).map(([tag, of]) => object({ k: z.literal(tag), v: make(of) })) as never,
        );
      case "tree": {
        const value = make(spec.of);
        const tree: z.ZodType = object({
          value,
          get next() {
            return tree.optional();
          },
        });
        return tree;
      }
      case "object": {
        const members = Object.fromEntries(Object.entries(spec.of).map(([name, of]) => [name, make(of)]));
        return spec.mode === "strict"
          ? z.strictObject(members)
          : spec.mode === "loose"
          ? z.looseObject(members)
          : object(members);
      }
    }
  };
  const make = (spec: Spec): z.ZodType => (spec.optional === true ? base(spec).optional() : base(spec));
  const written = (spec: Spec, depth = 0): unknown => {
    switch (spec.t) {
      case "text": {
        const length = (spec.min ?? 0) + below((spec.max ?? 8) - (spec.min ?? 0) + 1);
        return pick(["abcdefgh", "a", "b"]).padEnd(length, "z").slice(0, length);
      }
      case "email":
        return pick(["a@b.co", "x.y@z.org"]);
      case "uuid":
        return "123e4567-e89b-42d3-a456-426614174000";
      case "date":
        return "2026-01-31";
      case "number":
        return pick([0.5, 1.5, 3, -2, 100, 2, 1, 0, 9]);
      case "integer":
        return pick([0, 1, 5, 9, -3, 12]);
      case "boolean":
        return random() < 0.5;
      case "enum":
        return pick(spec.of);
      case "literal":
        return spec.value;
      case "nullable":
        return random() < 0.3 ? null : written(spec.of, depth);
      case "array":
        return Array.from({ length: (spec.min ?? 0) + below(3) }, () => written(spec.of, depth));
      case "union":
        return written(pick(spec.of), depth);
      case "tuple":
        return spec.of.map((each) => written(each, depth));
      case "both":
        return { ...written(spec.of[0], depth) as object, ...written(spec.of[1], depth) as object };
      case "record":
        return Object.fromEntries(["k1", "a", "b"].slice(0, below(4)).map((name) => [name, written(spec.of, depth)]));
      case "listed":
        return { a: written(spec.of, depth), b: written(spec.of, depth) };
      case "tagged": {
        const tag = pick(Object.keys(spec.of));
        return { k: tag, v: written(spec.of[tag], depth) };
      }
      case "tree":
        return {
          value: written(spec.of, depth),
          ...(depth < 3 && random() < 0.5 ? { next: written(spec, depth + 1) } : {}),
        };
      case "object": {
        const made: Record<string, unknown> = {};
        for (const [name, of] of Object.entries(spec.of)) {
          if (of.optional !== true || random() < 0.6) made[name] = written(of, depth);
        }
        if (spec.mode === "loose" && random() < 0.5) made[pick(["c", "zz", "b"])] ??= pick([1, "q", null]);
        return made;
      }
    }
  };
  /** Returns another version of a schema, in which one random part is changed. */
  const changed = (from: Spec): Spec => {
    let root = structuredClone(from);
    const spots: [Spec, (put: Spec) => void][] = [];
    const walk = (spec: Spec, put: (put: Spec) => void) => {
      spots.push([spec, put]);
      if (spec.t === "object" || spec.t === "tagged") {
        for (const name of Object.keys(spec.of)) walk(spec.of[name], (own) => (spec.of[name] = own));
      } else if (spec.t === "union" || spec.t === "tuple") {
        spec.of.forEach((each, i) => walk(each, (own) => (spec.of[i] = own)));
      } else if (spec.t === "array" || spec.t === "nullable" || spec.t === "record" || spec.t === "tree") {
        walk(spec.of, (own) => (spec.of = own));
      }
    };
    walk(root, (own) => (root = own));
    const [spec, put] = pick(spots);
    const chance = random();
    const { optional, ...bare } = spec;
    const kept = optional === undefined ? {} : { optional };
    if (spec.t === "object" && chance < 0.2) spec.of.d = { ...leaf(), ...pick([{}, { optional: true }]) };
    else if (spec.t === "object" && chance < 0.35) delete spec.of[pick(Object.keys(spec.of))];
    else if (spec.t === "object" && chance < 0.5) spec.mode = pick(["strip", "strict", "loose"]);
    else if (chance < 0.6) put({ t: "nullable", of: structuredClone(bare) as Spec, ...kept });
    else if (chance < 0.75) put({ t: "union", of: [structuredClone(bare) as Spec, leaf()], ...kept });
    else if (spec.t === "enum") spec.of = [...spec.of, "new"];
    else if (spec.t === "tagged") spec.of.z = leaf();
    else if (chance < 0.85) put({ ...structuredClone(bare) as Spec, ...(optional ? {} : { optional: true }) });
    else put({ ...draw(1), ...kept });
    return root;
  };
  const found = { yes: 0, no: 0, unknown: 0, needless: 0, wrong: [] as string[] };
  for (let i = 0; i < count; i++) {
    const first = draw(2);
    const second = random() < 0.85 ? changed(first) : draw(2);
    const [from, to] = random() < 0.5 ? [first, second] : [second, first];
    const writer = base(from);
    const reader = base(to);
    const verdict = judge(input(reader), input(writer));
    found[verdict.reads]++;
    let refused: unknown;
    for (let n = 0; n < 60 && refused === undefined; n++) {
      const value = written(from);
      if (writer.safeParse(value).success && !reader.safeParse(value).success) refused = value;
    }
    if (verdict.reads === "yes" && refused !== undefined) {
      found.wrong.push(`${JSON.stringify(from)} → ${JSON.stringify(to)}: ${JSON.stringify(refused)}`);
    }
    if (verdict.reads === "no" && refused === undefined) found.needless++;
  }
  return found;
}
