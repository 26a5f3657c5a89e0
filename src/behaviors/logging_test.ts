import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { catga, fail, query } from "../../mod.ts";
import type { LogFields } from "../contract/logger.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { localApp } from "../../test/support/local_app.ts";
import { logging, type LoggingOptions } from "./logging.ts";

const Ask = query<number, string>("Ask");

/** What is logged of a message that takes 20 ms. */
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
      ["info", "catga here: Ask ok in 20.0 ms"],
      ["warn", "catga here: Ask NO in 20.0 ms: not today"],
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
    assertMatch(lines.join(), /^catga n1: Ask ok in [\d.]+ ms$/);
    assertEquals((await logged({})).length, 2);
  });

  it("writes at the level of its options, and the payload only if they say so", async () => {
    const [[level, , fields]] = await logged({ level: "debug", payload: true });
    assertEquals([level, fields.payload, fields.outcome], ["debug", 1, "ok"]);
    assertEquals("payload" in (await logged({}))[0][2], false);
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
