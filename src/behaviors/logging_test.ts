import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type Batch, type Behavior, catga, command, event, fail, query, unwrap } from "../../mod.ts";
import type { LogFields } from "../contract/nodes/observer.ts";
import { HIDDEN, REDACT_HEADER } from "../contract/declaration/redaction.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { eventually } from "../../test/support/eventually.ts";
import { localApp } from "../../test/support/local_app.ts";
import { logging, type LoggingOptions } from "./logging.ts";

const Ask = query<number, string>("Ask");

/** Returns the log lines for a message whose handler takes 20 ms. */
async function logged(options: LoggingOptions): Promise<[string, string, LogFields][]> {
  const lines: [string, string, LogFields][] = [];
  const at = (level: string) => (message: string, fields: LogFields) => void lines.push([level, message, fields]);
  const logger = { debug: at("debug"), info: at("info"), warn: at("warn") };
  const handlers = Ask.handle(async (n) => {
    await new Promise<void>((resolve) => clock.after(20, resolve));
    return n > 0 ? "yes" : fail("NO", "not today");
  });
  const { app, clock } = localApp({ handlers, behaviors: [logging({ logger, ...options })] });
  await clock.until(app.send(Ask, 1, { id: "m1" }));
  await clock.until(app.send(Ask, 0, { id: "m2" }));
  return lines;
}

describe("logging", () => {
  it("writes a line for each message: contract, outcome and duration; failures are warnings", async () => {
    const lines = await logged({});
    assertEquals(lines.map(([level, message]) => [level, message]), [
      ["info", "catga here: Ask ok in 20.0 ms (message m1)"],
      ["warn", "catga here: Ask NO in 20.0 ms (message m2): not today"],
    ]);
    const { error, ...fields } = lines[1][2];
    assertEquals([String(error), fields], ["CatgaError: not today", {
      node: "here",
      type: "handled",
      contract: "Ask",
      kind: "query",
      id: "m2",
      correlationId: "m2",
      attempt: 1,
      at: Date.UTC(2026, 0, 1) + 40,
      ms: 20,
      outcome: "NO",
    }]);
  });

  it("writes to its own logger, else to that of its app (it wrote to the console instead)", async () => {
    const lines: string[] = [];
    const note = (message: string) => void lines.push(message);
    const logger = { debug: note, info: note, warn: note, error: note };
    await using app = await catga({ id: "n1", logger, handlers: Ask.handle(() => "yes"), behaviors: [logging()] });
    await app.send(Ask, 1);
    assertMatch(lines.join(), /^catga n1: Ask ok in [\d.]+ ms \(message \S+\)$/);
    assertEquals((await logged({})).length, 2);
  });

  it("without any logger writes lines with their time to the console", async () => {
    const { info } = console;
    const lines: string[] = [];
    console.info = (...line: unknown[]) => void lines.push(line.join(" "));
    try {
      const { app } = localApp({ handlers: Ask.handle(() => "yes"), behaviors: [logging()] });
      await app.send(Ask, 1, { id: "m1" });
    } finally {
      console.info = info;
    }
    assertEquals(lines, ["2026-01-01T00:00:00.000Z catga here: Ask ok in 0.0 ms (message m1)"]);
  });

  it("a line has the correlation of a message that a handler sent", async () => {
    const Outer = query<void, string>("Outer");
    const lines: string[] = [];
    const note = (message: string) => void lines.push(message);
    const outer = Outer.handle(async (_, ctx) => unwrap(await ctx.send(Ask, 1, { id: "m2" })));
    const logger = { debug: note, info: note, warn: note };
    const { app } = localApp({ handlers: [outer, Ask.handle(() => "yes")], behaviors: [logging({ logger })] });
    await app.send(Outer, undefined, { id: "m1" });
    assertEquals(lines[0], "catga here: Ask ok in 0.0 ms (message m2, correlation m1)");
  });

  it("a throw is in the app's log once (it was there twice), and the failure of a sender's handler beside it", async () => {
    const Outer = query<void, string>("Outer");
    const broken = Ask.handle(() => {
      throw new Error("the till is on fire");
    });
    const outer = Outer.handle(async (_, ctx) => {
      const result = await ctx.send(Ask, 1, { id: "m2" });
      return result.ok ? result.value : result;
    });
    const lines: string[] = [];
    const at = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
    const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    await using app = await catga({ id: "n1", logger, handlers: [outer, broken], behaviors: [logging()] });
    await app.send(Outer, undefined, { id: "m1" });
    assertEquals(lines.map((line) => line.replace(/in [\d.]+ ms/, "in … ms")), [
      "error catga n1: the handler of Ask threw (message m2, correlation m1)",
      "warn catga n1: Outer HANDLER_FAILED in … ms (message m1): the handler of Ask threw on node n1 (message m2); " +
      "the cause is in the log of that node",
    ]);
  });

  it("a throw of a behavior inside of it is in the app's log once, as that of a behavior", async () => {
    const lines: string[] = [];
    const log = (message: string) => void lines.push(message);
    const logger = { debug: log, info: log, warn: log, error: log };
    const broken: Behavior = () => {
      throw new Error("the till is on fire");
    };
    const handlers = Ask.handle(() => "", { behaviors: [broken] });
    await using app = await catga({ id: "n1", logger, handlers, behaviors: [logging()] });
    await app.send(Ask, 1, { id: "m1" });
    assertEquals(lines, ["catga n1: a behavior around Ask threw (message m1)"]);
  });

  it("a throw is in its own logger, which has not got it otherwise", async () => {
    const broken = Ask.handle(() => {
      throw new Error("the till is on fire");
    });
    const lines: string[] = [];
    const note = (message: string) => void lines.push(message);
    const own = logging({ logger: { debug: note, info: note, warn: note } });
    const { app } = localApp({ handlers: broken, behaviors: [own] });
    await app.send(Ask, 1, { id: "m1" });
    assertEquals(lines.map((line) => line.slice(0, 37)), ["catga here: Ask HANDLER_FAILED in 0.0"]);
  });

  it("writes at the level of its options, and the payload only if they say so", async () => {
    const [[level, , fields]] = await logged({ level: "debug", payload: true });
    assertEquals([level, fields.payload, fields.outcome], ["debug", 1, "ok"]);
    assertEquals("payload" in (await logged({}))[0][2], false);
  });

  it("hides the members of payloads that `redact` names (it logged them), of parsed ones too, and of each of a batch", async () => {
    const payloads: unknown[] = [];
    const note = (_: string, { payload }: LogFields) => void payloads.push(payload);
    const behaviors = [logging({ payload: true, logger: { debug: note, info: note, warn: note } })];
    class Card {
      constructor(readonly number: string, readonly name: string) {}
    }
    interface Payment {
      readonly id: string;
      readonly card: Card;
    }
    const input = {
      "~standard": {
        version: 1 as const,
        vendor: "test",
        types: undefined as { readonly input: Payment; readonly output: Payment } | undefined,
        validate: (value: unknown) => {
          const { id, card } = value as Payment;
          return { value: { id, card: new Card(card.number, card.name) } };
        },
      },
    };
    const redact = ["card.number"] as const;
    const Pay = command<Payment, string>("Pay", { redact });
    const Parsed = command("Parsed", { input, redact: ["**.number"] });
    const Paid = event<Payment>("Paid", { durable: true, redact, key: ({ id }) => id });
    const seen: string[] = [];
    const handlers = [
      Pay.handle(({ card }) => card.number),
      Parsed.handle(({ card }) => void seen.push(card.number)),
      Paid.onBatch((batch) => {
        for (const { payload } of batch) seen.push(payload.card.number);
      }),
    ];
    await using app = await catga({ id: "n1", handlers, behaviors });
    const payment = { id: "p1", card: { number: "4111", name: "Ada" } };
    assertEquals(unwrap(await app.send(Pay, payment)), "4111");
    unwrap(await app.send(Parsed, payment));
    unwrap(await app.publish(Paid, payment));
    await eventually("the batch", () => payloads.length === 3);
    assertEquals(seen, ["4111", "4111"]);
    const shown = { id: "p1", card: { number: HIDDEN, name: "Ada" } };
    const [{ payload, id, headers }] = payloads[2] as Batch<Payment>;
    assertEquals([...payloads.slice(0, 2), payload], [shown, shown, shown] as unknown[]);
    assertEquals([typeof id, headers[REDACT_HEADER]], ["string", '["card.number"]']);
  });

  it("hides what the sender of a stored message named, whose `redact` was another", async () => {
    const payloads: unknown[] = [];
    const note = (_: string, { payload }: LogFields) => void payloads.push(payload);
    const Paid = event<{ a: string; b: string }>("Paid", { durable: true, redact: ["a"] });
    const handlers = Paid.on(() => {}, {
      behaviors: [logging({ payload: true, logger: { debug: note, info: note, warn: note } })],
    });
    await using app = await catga({ id: "n1", handlers });
    const Other = event<{ a: string; b: string }>("Paid", { durable: true, redact: ["b"] });
    unwrap(await app.publish(Other, { a: "1", b: "2" }));
    await eventually("the event", () => payloads.length > 0);
    assertEquals(payloads, [{ a: HIDDEN, b: HIDDEN }]);
  });

  it("a logger that throws does not change the result", async () => {
    const told = await consoleErrors(async () => {
      const wrong = () => {
        throw new Error("disk full");
      };
      const logger = { debug: wrong, info: wrong, warn: wrong };
      const { app } = localApp({ handlers: Ask.handle(() => "yes"), behaviors: [logging({ logger })] });
      assertEquals(await app.send(Ask, 1), { ok: true, value: "yes" });
    });
    assertMatch(told.flat().join(" "), /the logger of logging\(\) threw Error: disk full/);
  });

  it("throws for invalid options", () => {
    // @ts-expect-error: no level
    assertThrows(() => logging({ level: "loud" }), TypeError, 'logging: level must be "debug" or "info"; got "loud"');
    // @ts-expect-error: no option
    assertThrows(() => logging({ color: true }), TypeError, "logging: unknown option color");
  });
});
