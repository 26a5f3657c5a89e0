import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { query } from "../../mod.ts";
import { localApp } from "../../test/support/local_app.ts";
import { rateLimit, type RateLimitOptions } from "./rate_limit.ts";

const Ask = query<void, string>("Ask");
const Tell = query<void, string>("Tell");

describe("rateLimit", () => {
  it("lets a burst pass, then messages at the rate; refuses the others at once, with the time after which one would pass", async () => {
    let runs = 0;
    const behaviors = [rateLimit({ rate: 10, per: 1_000, burst: 3 })];
    const { app, clock } = localApp({ handlers: Ask.handle(() => `${++runs}`, { behaviors }) });
    const send = async (times: number) => {
      const results = await app.sendAll(Ask, Array.from({ length: times }, () => undefined));
      return results.map(({ value, error }) => value ?? `${error?.code} ${JSON.stringify(error?.details)}`);
    };
    const refused = 'RATE_LIMITED {"retryAfter":100}';
    assertEquals(await send(5), ["1", "2", "3", refused, refused]);
    await clock.advance(40);
    assertEquals(await send(1), ['RATE_LIMITED {"retryAfter":60}']);
    await clock.advance(60);
    assertEquals(await send(2), ["4", refused]);
    await clock.advance(60_000);
    assertEquals(await send(4), ["5", "6", "7", refused]); // only as many tokens as `burst` gather
  });

  it("a message passes after exactly retryAfter ms, however the clock's times are rounded", async () => {
    for (const rate of [0.3, 1, 3, 7]) {
      const { app, clock } = localApp({
        handlers: Ask.handle(() => "", { behaviors: [rateLimit({ rate, burst: 1 })] }),
      });
      await clock.advance(0.1);
      for (let i = 0; i < 50; i++) {
        assertEquals((await app.send(Ask)).ok, true, `rate ${rate}, message ${i}`);
        const { error } = await app.send(Ask);
        await clock.advance((error?.details as { retryAfter: number }).retryAfter);
      }
    }
  });

  it("one message passes at first, without a burst, at a rate below one", async () => {
    const { app } = localApp({ handlers: Ask.handle(() => "", { behaviors: [rateLimit({ rate: 0.5 })] }) });
    assertEquals([(await app.send(Ask)).ok, (await app.send(Ask)).error?.details], [true, { retryAfter: 2_000 }]);
  });

  it("the failure is retryable, and its message has contract, node and limit", async () => {
    const { app } = localApp({ handlers: Ask.handle(() => "", { behaviors: [rateLimit({ rate: 1, per: 60_000 })] }) });
    await app.send(Ask);
    const { error } = await app.send(Ask);
    assertEquals([error?.retryable, error?.message], [
      true,
      "query Ask did not run on node here: the limit is 1 in 60000 ms",
    ]);
  });

  it("an app's handlers share one bucket, a handler's own limit has its own", async () => {
    const handlers = (own?: RateLimitOptions) =>
      [Ask, Tell].map((contract) =>
        contract.handle(() => "ok", { behaviors: own === undefined ? [] : [rateLimit(own)] })
      );
    const shared = localApp({ handlers: handlers(), behaviors: [rateLimit({ rate: 1 })] }).app;
    const apart = localApp({ handlers: handlers({ rate: 1 }) }).app;
    const outcomes = async (app: typeof shared) =>
      [await app.send(Ask), await app.send(Tell)].map(({ value, error }) => value ?? error?.code);
    assertEquals([await outcomes(shared), await outcomes(apart)], [["ok", "RATE_LIMITED"], ["ok", "ok"]]);
  });

  it("throws for invalid options", () => {
    assertThrows(
      () => rateLimit({ rate: 0 }),
      RangeError,
      "rateLimit: rate must be more than 0, at most 1000000000; got 0",
    );
    assertThrows(() => rateLimit({ rate: 1, per: 0 }), RangeError, "rateLimit: per must be more than 0 ms; got 0");
    assertThrows(
      () => rateLimit({ rate: 5e-324 }),
      RangeError,
      "rateLimit: per / rate must be from 0 to 316224000000 ms",
    );
    assertThrows(() => rateLimit({ rate: 1, burst: 0.5 }), RangeError, "rateLimit: burst must be from 1");
    assertThrows(() => rateLimit({} as never), TypeError, "rateLimit: rate must be a number; got undefined");
    assertThrows(() => rateLimit({ rate: 1, wait: true } as never), TypeError, "rateLimit: unknown option wait");
  });
});
