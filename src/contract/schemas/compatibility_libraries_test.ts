/**
 * Tests of `reads` on the JSON Schemas of valibot, arktype and effect, and of one library against another: where
 * `reads` says yes, no written value may be refused.
 */
import { assertEquals } from "@std/assert";
import { toStandardJsonSchema } from "@valibot/to-json-schema";
import { type } from "arktype";
import { Schema as S } from "effect";
import { describe, it } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import { PATIENT } from "../../../test/support/patient.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { reads } from "./compatibility.ts";
import { jsonSchemaOf } from "./json_schema.ts";
import type { Schema, SchemaResult } from "./schema.ts";

/** The description of a schema that each of the libraries can make. */
type Spec =
  | { readonly t: "text"; readonly min: number }
  | { readonly t: "number"; readonly least: number; readonly most: number }
  | { readonly t: "integer" | "boolean" | "parsed" }
  | { readonly t: "enum"; readonly of: readonly string[] }
  | { readonly t: "nullable" | "array"; readonly of: Spec }
  | { readonly t: "union"; readonly of: readonly [Spec, Spec] }
  | { readonly t: "object"; readonly of: Readonly<Record<string, Member>> };

interface Member {
  readonly spec: Spec;
  readonly optional: boolean;
}

type Validator = Schema<unknown>;

/**
 * Makes validators with one library from descriptions. The kind `parsed` is a string that becomes a number; payloads
 * have the string.
 */
interface Library {
  of(spec: Spec): Validator;
}

function zod(spec: Spec): z.ZodType {
  switch (spec.t) {
    case "text":
      return z.string().min(spec.min);
    case "number":
      return z.number().min(spec.least).max(spec.most);
    case "integer":
      return z.int();
    case "boolean":
      return z.boolean();
    case "parsed":
      return z.string().transform(Number);
    case "enum":
      return z.enum(spec.of as [string]);
    case "nullable":
      return zod(spec.of).nullable();
    case "array":
      return z.array(zod(spec.of));
    case "union":
      return z.union(spec.of.map(zod));
    case "object":
      return z.object(members(spec.of, zod, (own) => own.optional()));
  }
}

function valibot(spec: Spec): v.GenericSchema {
  switch (spec.t) {
    case "text":
      return v.pipe(v.string(), v.minLength(spec.min));
    case "number":
      return v.pipe(v.number(), v.minValue(spec.least), v.maxValue(spec.most));
    case "integer":
      return v.pipe(v.number(), v.integer());
    case "boolean":
      return v.boolean();
    case "parsed":
      return v.pipe(v.string(), v.transform(Number));
    case "enum":
      return v.picklist(spec.of);
    case "nullable":
      return v.nullable(valibot(spec.of));
    case "array":
      return v.array(valibot(spec.of));
    case "union":
      return v.union(spec.of.map(valibot));
    case "object":
      return v.object(members(spec.of, valibot, (own) => v.optional(own) as v.GenericSchema));
  }
}

// arktype's own types work only with literal texts, but the descriptions here are random
interface Ark {
  or(other: Ark): Ark;
  array(): Ark;
  atLeastLength(n: number): Ark;
  atLeast(n: number): Ark;
  atMost(n: number): Ark;
}
const ark = type as unknown as ((of: unknown) => Ark) & { enumerated(...of: readonly unknown[]): Ark };

function arktype(spec: Spec): Ark {
  switch (spec.t) {
    case "text":
      return ark("string").atLeastLength(spec.min);
    case "number":
      return ark("number").atLeast(spec.least).atMost(spec.most);
    case "integer":
      return ark("number.integer");
    case "boolean":
      return ark("boolean");
    case "parsed":
      return ark(["string", "=>", Number]);
    case "enum":
      return ark.enumerated(...spec.of);
    case "nullable":
      return arktype(spec.of).or(ark("null"));
    case "array":
      return arktype(spec.of).array();
    case "union":
      return arktype(spec.of[0]).or(arktype(spec.of[1]));
    case "object": {
      const of = Object.entries(spec.of);
      return ark(
        Object.fromEntries(of.map(([name, { spec, optional }]) => [optional ? `${name}?` : name, arktype(spec)])),
      );
    }
  }
}

function effect(spec: Spec): S.Codec<unknown> {
  const made = (): S.Top => {
    switch (spec.t) {
      case "text":
        return S.String.check(S.isMinLength(spec.min));
      case "number":
        return S.Number.check(S.isFinite(), S.isBetween({ minimum: spec.least, maximum: spec.most }));
      case "integer":
        return S.Int;
      case "boolean":
        return S.Boolean;
      case "parsed":
        return S.NumberFromString;
      case "enum":
        return S.Literals(spec.of);
      case "nullable":
        return S.NullOr(effect(spec.of));
      case "array":
        return S.Array(effect(spec.of));
      case "union":
        return S.Union(spec.of.map(effect));
      case "object":
        return S.Struct(members(spec.of, effect, (own) => S.optionalKey(own) as never));
    }
  };
  return made() as S.Codec<unknown>;
}

function members<T>(
  of: Readonly<Record<string, Member>>,
  make: (spec: Spec) => T,
  optional: (made: T) => T,
): Record<string, T> {
  const all = Object.entries(of).map(([name, own]) => [name, own.optional ? optional(make(own.spec)) : make(own.spec)]);
  return Object.fromEntries(all);
}

const LIBRARIES: Readonly<Record<string, Library>> = {
  zod: { of: (spec) => zod(spec) as Validator },
  valibot: { of: (spec) => toStandardJsonSchema(valibot(spec)) as Validator },
  arktype: { of: (spec) => arktype(spec) as unknown as Validator },
  effect: { of: (spec) => S.toStandardSchemaV1(S.toStandardJSONSchemaV1(effect(spec))) as Validator },
};

/**
 * Makes random pairs of schemas of two libraries, and random values of the writer, and checks the verdict of `reads` on
 * each pair.
 */
function draw(writers: Library, readers: Library, seed: number, pairs: number) {
  const random = seededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)];
  const leaf = (): Spec =>
    pick<() => Spec>([
      () => ({ t: "text", min: pick([0, 1, 3]) }),
      () => ({ t: "number", least: pick([0, 2]), most: pick([5, 9]) }),
      () => ({ t: pick(["integer", "boolean", "parsed"] as const) }),
      () => ({ t: "enum", of: pick([["a"], ["a", "b"], ["a", "b", "c"]]) }),
    ])();
  const some = (depth: number): Spec =>
    depth === 0 ? leaf() : pick<() => Spec>([
      leaf,
      () => ({ t: pick(["nullable", "array"] as const), of: some(depth - 1) }),
      // the members are fixed, because arktype makes no union of objects or transforms that overlap
      () => ({ t: "union", of: [{ t: "boolean" }, { t: "enum", of: ["a", "b"] }] }),
      () => ({ t: "object", of: objectOf(depth) }),
    ])();
  const objectOf = (depth: number) =>
    Object.fromEntries(
      ["a", "b", "c"].slice(0, 1 + Math.floor(random() * 3)).map((name) => [
        name,
        { spec: some(depth - 1), optional: random() < 0.4 },
      ]),
    );
  const changed = (spec: Spec): Spec => {
    if (spec.t === "object" && random() < 0.7) {
      const name = pick(Object.keys(spec.of));
      const { [name]: own, ...rest } = spec.of;
      return pick<() => Spec>([
        () => ({ ...spec, of: rest }),
        () => ({ ...spec, of: { ...rest, [name]: { ...own, optional: !own.optional } } }),
        () => ({ ...spec, of: { ...rest, [name]: { ...own, spec: changed(own.spec) } } }),
        () => ({ ...spec, of: { ...spec.of, d: { spec: leaf(), optional: random() < 0.6 } } }),
      ])();
    }
    return pick<() => Spec>([() => ({ t: "nullable", of: spec }), leaf, () => spec])();
  };
  const written = (spec: Spec): unknown => {
    switch (spec.t) {
      case "text":
        return pick(["", "a", "abc", "abcdef"]).padEnd(spec.min, "z");
      case "number":
        return pick([spec.least, spec.most, 3, 2.5]);
      case "integer":
        return pick([0, 3, -7, 12]);
      case "boolean":
        return random() < 0.5;
      case "parsed":
        return pick(["12", "", "abc"]);
      case "enum":
        return pick(spec.of);
      case "nullable":
        return random() < 0.4 ? null : written(spec.of);
      case "array":
        return Array.from({ length: Math.floor(random() * 3) }, () => written(spec.of));
      case "union":
        return written(pick(spec.of));
      case "object":
        return Object.fromEntries(
          Object.entries(spec.of).filter(([, { optional }]) => !optional || random() < 0.6)
            .map(([name, { spec }]) => [name, written(spec)]),
        );
    }
  };
  const found = { yes: 0, no: 0, unknown: 0, wrong: [] as string[] };
  for (let n = 0; n < pairs; n++) {
    const first: Spec = { t: "object", of: objectOf(2) };
    const second = random() < 0.25 ? first : changed(first);
    const [from, to] = random() < 0.5 ? [first, second] : [second, first];
    const [writer, reader] = [writers.of(from), readers.of(to)];
    const [read, wrote] = [jsonSchemaOf(reader as never), jsonSchemaOf(writer as never)];
    const verdict = read === undefined || wrote === undefined ? "unknown" : reads(read, wrote).reads;
    found[verdict]++;
    if (verdict !== "yes") continue;
    for (let i = 0; i < 40; i++) {
      const value = written(from);
      if (!takes(writer, value) || takes(reader, value)) continue;
      found.wrong.push(`${JSON.stringify(from)} → ${JSON.stringify(to)}: ${JSON.stringify(value)}`);
      break;
    }
  }
  return found;
}

function takes(validator: Validator, value: unknown): boolean {
  const result = validator["~standard"].validate(value) as SchemaResult<unknown>; // these validators are synchronous
  return result.issues === undefined;
}

describe("jsonSchemaOf, of several libraries", () => {
  const effectOf = (schema: S.Top) =>
    S.toStandardSchemaV1(S.toStandardJSONSchemaV1(schema as S.Codec<unknown>)) as Validator;
  const arkOf = (of: unknown) => ark(of) as unknown as Validator;
  const numbers = z.object({ n: z.union([z.null(), z.string(), z.number()]) });
  const Tree = S.Struct({
    value: S.Int,
    get next() {
      return S.optionalKey(S.suspend((): S.Codec<unknown> => Tree as never));
    },
  });
  const cases: readonly (readonly [what: string, validator: Validator, refused: unknown])[] = [
    ["effect: a Date, which is a text there", effectOf(S.Struct({ n: S.Date })), { n: "2026-01-31" }],
    ["effect: an optional member, which may be null there", effectOf(S.Struct({ n: S.optional(S.Int) })), { n: null }],
    ["effect: undefined, which is null there", effectOf(S.Struct({ n: S.UndefinedOr(S.Int) })), { n: null }],
    ["effect: a bigint, which is a text there", effectOf(S.Array(S.Struct({ n: S.BigInt }))), [{ n: "1" }]],
    ["effect: a Date in a tuple", effectOf(S.Tuple([S.Int, S.Date])), [1, "2026-01-31"]],
    ["arktype: a Date, which is anything there", arkOf({ n: "Date" }), { n: "2026-01-31" }],
    ["arktype: a bigint, which is anything there", arkOf({ n: "bigint" }), { n: 1 }],
    ["arktype: undefined, which is anything there", arkOf({ n: "number | undefined" }), { n: "a" }],
  ];
  for (const [what, validator, refused] of cases) {
    it(`has none of ${what}`, () => {
      assertEquals(takes(validator, refused), false);
      assertEquals(jsonSchemaOf(validator as never), undefined);
    });
  }

  it("a number of effect is a number, not one of the texts for NaN and the infinities", () => {
    const number = effectOf(S.Struct({ n: S.Number }));
    assertEquals(takes(number, { n: "NaN" }), false);
    assertEquals(reads(jsonSchemaOf(number as never)!, jsonSchemaOf(numbers as never)!).reads, "no");
    assertEquals(
      reads(jsonSchemaOf(number as never)!, jsonSchemaOf(z.object({ n: z.number() }) as never)!).reads,
      "yes",
    );
  });

  it("describes classes, transforms by their input sides, and schemas of themselves", () => {
    class Seat extends S.Class<Seat>("Seat")({ row: S.String, n: S.NumberFromString }) {}
    const of = (validator: Validator) => reads(jsonSchemaOf(validator as never)!, jsonSchemaOf(seats as never)!).reads;
    const seats = z.object({ row: z.string(), n: z.string() });
    assertEquals(of(effectOf(Seat)), "yes");
    assertEquals(of(arkOf({ row: "string", n: ["string", "=>", Number] })), "yes");
    assertEquals(jsonSchemaOf(effectOf(Tree) as never) === undefined, false);
  });
});

describe("reads, of the schemas of several libraries", () => {
  for (const [writer, writers] of Object.entries(LIBRARIES)) {
    for (const [reader, readers] of Object.entries(LIBRARIES)) {
      it(`what ${writer} writes, ${reader} does not refuse where the verdict is yes`, PATIENT, () => {
        const found = draw(writers, readers, 1, 60);
        assertEquals(found.wrong, []);
        // the random pairs lead to both verdicts
        assertEquals([found.yes > 3, found.no > 3], [true, true], JSON.stringify(found));
      });
    }
  }
});
