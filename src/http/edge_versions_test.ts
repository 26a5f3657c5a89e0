/** Tests of pages of one version of a program at a gateway of another version. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Catga, catga, type Schema, stream } from "../../mod.ts";
import { client, ClientError } from "../client/mod.ts";
import { edge } from "./mod.ts";

const COUNT = 10;

/**
 * A version of the program: the gateway's edge, and a stream of items whose number has this name. `number`: the
 * stream's `version`.
 */
function version(items: z.ZodType, name: string, number?: number) {
  type Item = Record<string, number>;
  const Lines = stream("Lines", {
    input: z.object({ from: z.number() }),
    items: items as z.ZodType<Item, Item>,
    version: number,
    resume: (_, last) => ({ from: Number(last?.[name] ?? -1) + 1 }),
  });
  const lines = Lines.handle(function* ({ from }) {
    for (let n = from; n < COUNT; n++) yield { [name]: n };
  });
  return { api: edge({ lines: Lines }), lines };
}
type Version = ReturnType<typeof version>;

/** Reads the stream at a gateway of the first version, which is cut off after 3 items, then at one of the second. */
async function read(before: Version, after: Version): Promise<{ numbers: unknown[]; error: unknown }> {
  const numbers: unknown[] = [];
  await using older: Catga = await catga({ handlers: before.lines });
  await using newer: Catga = await catga({ handlers: after.lines });
  const gateways = [
    before.api.handler(older, { authorize: () => {} }),
    after.api.handler(newer, { authorize: () => {} }),
  ];
  let requests = 0;
  const fetch = async (url: string, init: RequestInit) => {
    const gateway = gateways[Math.min(requests++, 1)];
    const response = await gateway(new Request(url, init));
    if (requests > 1) return response;
    const events = (await response.text()).split("\n\n").slice(0, 4);
    return new Response(`${events.join("\n\n")}\n\n`, response);
  };
  const page = client<typeof before.api>("http://shop.example", { fetch, pause: [1, 1] });
  try {
    for await (const item of page.lines.stream({ from: 0 })) numbers.push(Object.values(item)[0]);
    return { numbers, error: undefined };
  } catch (error) {
    return { numbers, error };
  }
}

describe("a page that reads a stream, when its gateway is replaced by one of another version", () => {
  const all = Array.from({ length: COUNT }, (_, n) => n);
  const lines = version(z.object({ n: z.number() }), "n");

  it("gets each item once if that version reads its items", async () => {
    const wider = version(z.object({ n: z.number(), by: z.string().default("nobody") }), "n");
    for (const [before, after] of [[lines, lines], [lines, wider], [wider, lines]]) {
      assertEquals(await read(before, after), { numbers: all, error: undefined });
    }
  });

  // a schema with a `z.date()` has no JSON Schema, so its versions have no shape
  const at = z.date().optional();
  for (
    const [what, before, after] of [
      ["", lines, version(z.object({ line: z.number() }), "line")],
      [
        ", which have no JSON Schema",
        version(z.object({ n: z.number(), at }), "n"),
        version(z.object({ line: z.number(), at }), "line"),
      ],
    ] as const
  ) {
    it(`is told that it cannot go on if that version does not read its items${what} (it got the first again)`, async () => {
      const { numbers, error } = await read(before, after);
      assertEquals(numbers, [0, 1, 2]);
      assert(error instanceof ClientError);
      assertEquals([error.code, error.details, error.retryable], ["STREAM_BROKEN", { received: 3 }, false]);
      assertEquals([(error.cause as ClientError).code, (error.cause as ClientError).status], ["INVALID_MESSAGE", 400]);
    });
  }

  it("goes on at a gateway of its own version without JSON Schema, if it reads its items or has a version", async () => {
    const dated = version(z.object({ n: z.number(), at }), "n");
    assertEquals(await read(dated, dated), { numbers: all, error: undefined });
    const text = z.object({ n: z.number().transform((n) => `${n}`), at });
    assertEquals((await read(version(text, "n"), version(text, "n"))).numbers, ["0", "1", "2"]);
    const [before, after] = [version(text, "n", 2), version(text, "n", 2)];
    assertEquals(await read(before, after), { numbers: all.map(String), error: undefined });
  });

  it("is answered when the schema of its items does not settle", { timeout: 300_000 }, async () => {
    const never: Schema<{ n: number }> = {
      "~standard": { version: 1, vendor: "test", validate: () => new Promise(() => {}) },
    };
    const Lines = stream("Lines", { items: never, resume: () => undefined, idle: 1_000 });
    await using app = await catga({ handlers: Lines.handle(function* () {}) });
    const handler = edge({ lines: Lines }).handler(app, { authorize: () => {} });
    const headers = { "last-event-id": `older!${encodeURIComponent('{"n":1}')}` };
    const response = await handler(new Request("http://shop.example/lines", { headers }));
    assertEquals([response.status, (await response.json()).code], [504, "TIMEOUT"]);
  });

  it("goes on at a gateway of its own version though the schema does not read what it made of an item", async () => {
    const text = version(z.object({ n: z.number().transform((n) => `${n}`) }), "n");
    assertEquals(await read(text, text), { numbers: all.map(String), error: undefined });
  });

  it("gets an item whose place has the most characters, 4,096, beside the name of the version", async () => {
    const Texts = stream("Texts", { items: z.string(), resume: () => undefined });
    const most = "a".repeat(4_096 - "%22%22".length);
    await using app = await catga({
      handlers: Texts.handle(function* () {
        yield most;
      }),
    });
    const handler = edge({ texts: Texts }).handler(app, { authorize: () => {} });
    const text = await (await handler(new Request("http://shop.example/texts"))).text();
    const [, id] = /^id: ?(.*)$/m.exec(text) ?? [];
    assertEquals([id?.split("!")[1], text.includes("TOO_LARGE")], [`%22${most}%22`, false]);
  });
});
