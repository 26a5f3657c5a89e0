import { after, describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { catga, fail, type Flow, unwrap, workflow } from "../../mod.ts";
import { MemoryNetwork } from "../testing/mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { streamOptions } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import { checkRuns } from "./half_done.ts";
import { programOf } from "./program.ts";

const Order = workflow<{ seat: string }, string>("Order");
const Paid = Order.signal<string>("Paid");
const Sent = Order.signal("Sent");
const Parcel = workflow<string>("Parcel");

/**
 * The handler with which the runs are started: a step, a short sleep, another step, a wait for a signal, and a last
 * step.
 */
async function original(flow: Flow, { seat }: { seat: string }): Promise<string> {
  const place = await flow.step("reserve", () => `${seat}!`);
  await flow.sleep("a moment", 1);
  const charged = await flow.step("charge", () => ({ place }));
  await flow.wait(Paid);
  await flow.step("send", () => "sent");
  return charged.place;
}

/** A clock on which the time is over at once within which a handler has to come to rest. */
const HASTY: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  soon: (callback) => systemClock.soon(callback),
  after: (ms, callback) => systemClock.after(ms === 5_000 ? 0 : ms, callback),
};

const connections: { close(): Promise<void> }[] = [];

/**
 * Starts two workflow runs with the handler `began`, and sends them `signal`. Returns a function that checks the runs
 * with other handlers.
 */
async function stage(began = original, signal?: string) {
  const network = new MemoryNetwork();
  await using app = await catga({ network, id: "a", handlers: Order.handle(began) });
  for (const id of ["7", "8"]) unwrap(await app.start(Order, { seat: "A1" }, { id }));
  if (signal !== undefined) { for (const id of ["7", "8"]) unwrap(await app.tell(Paid, id, signal)); }
  const last = signal === undefined ? "Paid" : "Sent";
  for (const id of ["7", "8"]) {
    await eventually(`run ${id} waits`, async () => {
      for await (const { pending } of app.runs({ id, status: "waiting" })) {
        return pending.some(({ name }) => name === last);
      }
      return false;
    });
  }
  unwrap(await app.start(Order, { seat: "A1" }, { id: "ended" }));
  unwrap(await app.cancel(Order, "ended", "enough"));
  await app.result(Order, "ended");
  await app.drain();
  const connection = network.connect();
  connections.push(connection);
  const entities = await connection.log.open(
    streamName("default", "entities"),
    streamOptions("default", "entities", 1),
  );
  return async (
    fn: (flow: Flow, input: { seat: string }) => unknown,
    options: object = {},
    more: readonly unknown[] = [],
    clock = systemClock,
  ) => {
    const before = await entities.state();
    const Changed = workflow<{ seat: string }, string>("Order", options);
    const handler = Changed.handle(fn as typeof original);
    const found = await checkRuns(programOf([handler, ...more]), {
      ...{ namespace: "default", entities, clock, random: () => 0.5, progress: () => {} },
    });
    assertEquals((await entities.state())?.last, before?.last, "something was stored");
    return found.map(({ level, message, count, example = "" }) => {
      assertEquals(["7", "8"].includes(example), true);
      return `${level}: ${message} (${count})`;
    });
  };
}

/** Returns a function that checks the open runs of a network with the handlers and declarations of a program. */
async function checkerOf(network: MemoryNetwork) {
  const connection = network.connect();
  connections.push(connection);
  const entities = await connection.log.open(
    streamName("default", "entities"),
    streamOptions("default", "entities", 1),
  );
  return async (program: readonly unknown[]) => {
    const found = await checkRuns(programOf(program), {
      ...{ namespace: "default", entities, clock: systemClock, random: () => 0.5, progress: () => {} },
    });
    return found.map(({ level, message }) => `${level}: ${message}`);
  };
}

describe("checkRuns", () => {
  after(() => Promise.all(connections.map((connection) => connection.close())));

  it("says nothing of handlers that reach all that is recorded, and runs no step", async () => {
    const check = await stage();
    let ran = 0;
    assertEquals(await check(original), []);
    assertEquals(
      await check(async (flow) => {
        const both = await Promise.all([flow.step("reserve", () => ran++), flow.sleep("a moment", 1)]);
        await flow.step("charge", () => ran++);
        const signal = await flow.wait(Paid);
        await flow.step("a new step", () => ran++);
        return `${both} ${signal}`;
      }),
      [],
    );
    // there is no finding: the open runs have version 1, for which the handler is unchanged
    assertEquals(
      await check((flow, input) => flow.version === 1 ? original(flow, input) : flow.step("other", () => ran++), {
        version: 2,
      }),
      [],
    );
    assertEquals(ran, 0);
  });

  it("names steps that are no longer reached, and what would run in their place", async () => {
    const check = await stage();
    let ran = 0;
    const renamed = async (flow: Flow) => {
      await flow.step("reserve", () => "");
      await flow.sleep("a moment", 1);
      await flow.step("charge card", () => ran++);
      await flow.wait(Paid);
    };
    assertEquals(await check(renamed), [
      'break: open runs of Order would go on with "charge card" without having reached "charge", "Paid", which are recorded (2)',
    ]);
    const otherSignal = async (flow: Flow) => {
      await flow.step("reserve", () => "");
      await flow.sleep("a moment", 1);
      await flow.step("charge", () => ran++);
      await flow.wait(Sent);
    };
    assertEquals(await check(otherSignal), [
      'break: open runs of Order would go on with "Sent" without having reached "Paid", which is recorded (2)',
    ]);
    assertEquals(await check((flow) => flow.step("reserve", () => "")), [
      'break: open runs of Order would end without "a moment", "charge", "Paid", which are recorded (2)',
    ]);
    assertEquals(ran, 0);
  });

  it("names what a handler throws, names that are taken, a schema that refuses the input, and a failure", async () => {
    const check = await stage();
    assertEquals(
      await check(async (flow) => {
        const place = await flow.step("reserve", () => "") as unknown as { seat: { row: string } };
        if (place.seat === undefined) throw new Error("no seat");
      }),
      ["break: open runs of Order would be stuck, or tried again: the handler throws: no seat (2)"],
    );
    assertEquals(
      await check(async (flow) => {
        await flow.step("reserve", () => "");
        await flow.step("reserve", () => "");
      }),
      [
        "break: open runs of Order would be stuck, or tried again: the handler throws: " +
        'the run has a step "reserve" already: give this one another name (2)',
      ],
    );
    const input = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => ({ issues: [{ message: "missing", path: ["buyer"] }] }),
      },
    };
    assertEquals(await check(original, { input }), [
      "break: open runs of Order would be stuck, or tried again: the handler throws: " +
      "the payload of Order does not fit its schema at buyer: missing (2)",
    ]);
    assertEquals(
      await check(() => ({ ok: false, error: Object.assign(new Error("closed"), { code: "SHOP_CLOSED" }) })).then((
        found,
      ) => found.length),
      1,
    );
  });

  it("names the failure with which runs would be undone, and a wait for something outside of flow", async () => {
    const undone = async (flow: Flow) => {
      await flow.step("reserve", () => "A1", { undo: () => {} });
      await flow.wait(Paid);
      return "";
    };
    const check = await stage(undone);
    const step = (flow: Flow) => flow.step("reserve", () => "", { undo: () => {} });
    assertEquals(
      await check(async (flow) => {
        await step(flow);
        return fail("SHOP_CLOSED", "it is closed");
      }),
      ["break: open runs of Order would fail, and be undone: SHOP_CLOSED: it is closed (2)"],
    );
    assertEquals(
      await check(
        async (flow) => {
          await step(flow);
          await new Promise(() => {});
        },
        {},
        [],
        HASTY,
      ),
      [
        "break: open runs of Order do not come to rest within 5 s: the handler awaits something outside of flow (2)",
      ],
    );
  });

  it("passes signals that runs have taken through the schemas of today", async () => {
    const paidAndSent = async (flow: Flow) => {
      const paid = await flow.wait(Paid);
      await flow.wait(Sent);
      return paid;
    };
    const check = await stage(paidAndSent, "by card");
    assertEquals(await check(paidAndSent), []);
    const of = (input: z.ZodType<string>) => async (flow: Flow) => {
      await flow.wait(Order.signal("Paid", { input }));
      await flow.wait(Sent);
    };
    assertEquals(await check(of(z.string().min(3))), []);
    assertEquals(await check(of(z.string().regex(/^in cash/, "not in cash"))), [
      "break: open runs of Order would be stuck, or tried again: the handler throws: " +
      "the payload of signal Paid does not fit its schema: not in cash (2)",
    ]);
  });

  it("passes signals that no run has taken yet through the schemas of today", async () => {
    const untaken = async (flow: Flow) => {
      await flow.wait(Sent);
      return await flow.wait(Paid);
    };
    const check = await stage(untaken, "by card");
    const of = (input: z.ZodType<string>) => {
      const Told = Order.signal("Paid", { input });
      const handler = async (flow: Flow) => {
        await flow.wait(Sent);
        return await flow.wait(Told);
      };
      return [handler, {}, [Told]] as const;
    };
    assertEquals(await check(...of(z.string().min(3))), []);
    assertEquals(await check(...of(z.string().regex(/^in cash/, "not in cash"))), [
      "break: untaken signals Paid of open runs of Order are refused: not in cash (2)",
    ]);
    const throwing = z.string().refine(() => {
      throw new Error("no");
    });
    assertEquals(await check(...of(throwing)), [
      "unknown: untaken signals Paid of open runs of Order could not be judged: the schema threw (2)",
    ]);
  });

  it("passes questions that no run has taken yet through the schemas of today, also beside a signal of their name", async () => {
    const network = new MemoryNetwork();
    const asks = Order.question<string, string>("Paid");
    await using app = await catga({
      network,
      handlers: Order.handle(async (flow) => {
        await flow.wait(Sent);
        (await flow.wait(asks)).answer("yes");
        return "";
      }),
    });
    unwrap(await app.start(Order, { seat: "A1" }, { id: "7" }));
    const asked = app.ask(asks, "7", "by card", { timeout: 60_000 });
    const found = await checkerOf(network);
    const of = (input: z.ZodType<string, string>) => {
      const Paid = Order.question<string, string>("Paid", { input });
      const told = Order.signal("Paid", { input: z.string().regex(/^in gold/) });
      const handler = Order.handle(async (flow) => {
        await flow.wait(Sent);
        (await flow.wait(Paid)).answer("no");
        return "";
      });
      return [handler, Paid, told];
    };
    await eventually("it is asked", async () => {
      for await (const { timeline } of app.runs({ id: "7" })) {
        return timeline.some(({ type, name }) => type === "asked" && name === "Paid");
      }
      return false;
    });
    assertEquals(await found(of(z.string().min(3))), []);
    assertEquals(await found(of(z.string().regex(/^in cash/, "not in cash"))), [
      "break: untaken questions Paid of open runs of Order are refused: not in cash",
    ]);
    unwrap(await app.tell(Sent, "7"));
    assertEquals(unwrap(await asked), "yes");
  });

  it("replays callbacks: one that is gone, and one whose schema refuses what it was completed with", async () => {
    const network = new MemoryNetwork();
    const token = Promise.withResolvers<string>();
    const paidBy = (name: string, options: object = {}) =>
      Order.handle(async (flow) => {
        const paid = flow.callback<string>(name, options);
        await flow.step("tell", () => token.resolve(paid.token));
        const { value, error } = await paid.result;
        if (error !== undefined) return fail(error.code, error.message);
        await flow.wait(Sent);
        return value;
      });
    await using app = await catga({ network, handlers: paidBy("paid") });
    unwrap(await app.start(Order, { seat: "A1" }, { id: "7" }));
    const found = await checkerOf(network);
    const waits = (name: string) =>
      eventually(`it waits for ${name}`, async () => {
        for await (const { timeline } of app.runs({ id: "7" })) {
          return timeline.some((one) => one.type === "waits" && one.name === name);
        }
        return false;
      });
    const paid = await token.promise;
    await waits("paid");
    assertEquals(await found([paidBy("paid")]), []);
    assertEquals(await found([paidBy("settled")]), [
      'break: open runs of Order would go on with "settled" without having reached "paid", which is recorded',
    ]);
    const other = Order.handle(async (flow) => {
      await flow.step("tell", () => {});
      await flow.wait(Sent, { name: "paid" });
      return "";
    });
    assertEquals(await found([other]), [
      "break: open runs of Order would be stuck, or tried again: the handler throws: " +
      'the run has recorded "paid" as a callback, and the handler calls it as a wait: ' +
      "give it another name, or have runs that began before go the old way (flow.version)",
    ]);
    unwrap(await app.complete(paid, "by card"));
    await waits("Sent");
    assertEquals(await found([paidBy("paid", { input: z.string() })]), []);
    assertEquals(await found([paidBy("paid", { input: z.string().regex(/^in cash/, "not in cash") })]), [
      'break: open runs of Order would end without "Sent", which is recorded',
    ]);
  });

  it("replays the life that goes on now: its input, and an again that comes too early", async () => {
    const network = new MemoryNetwork();
    const Round = workflow<{ n: number }, string>("Round");
    const Next = Round.signal("Next");
    const round = (fn: (flow: Flow<never, { n: number }>, n: number) => Promise<string>, options: object = {}) =>
      workflow<{ n: number }, string>("Round", options).handle((flow, { n }) => fn(flow as never, n));
    const original = async (flow: Flow<never, { n: number }>, n: number) => {
      await flow.step("count", () => n);
      if (n < 3) return flow.again({ n: n + 1 });
      await flow.wait(Next);
      return `${n}`;
    };
    await using app = await catga({ network, handlers: round(original) });
    unwrap(await app.start(Round, { n: 1 }, { id: "7" }));
    await eventually("it waits in its third life", async () => {
      for await (const { pending } of app.runs({ id: "7" })) return pending.some(({ name }) => name === "Next");
      return false;
    });
    const found = await checkerOf(network);
    assertEquals(await found([round(original)]), []);
    assertEquals(
      await found([round(async (flow, n) => {
        await flow.step("count", () => n);
        return flow.again({ n: n + 1 });
      })]),
      ['break: open runs of Round would begin anew without "Next", which is recorded'],
    );
    const small = { input: z.object({ n: z.number().max(2, "too many") }) };
    assertEquals(await found([round(original, small)]), [
      "break: open runs of Round would be stuck, or tried again: the handler throws: " +
      "the payload of Round does not fit its schema at n: too many",
    ]);
  });

  it("counts runs together whose reasons all differ, as of steps that are named after what they are about", async () => {
    const network = new MemoryNetwork();
    await using app = await catga({
      network,
      handlers: Order.handle(async (flow) => {
        await flow.step(`item ${flow.id}`, () => "");
        await flow.wait(Paid);
        return "";
      }),
    });
    const ids = Array.from({ length: 10 }, (_, n) => `${n}`);
    for (const id of ids) unwrap(await app.start(Order, { seat: "A1" }, { id }));
    await eventually("all wait", async () => (await Array.fromAsync(app.runs({ status: "waiting" }))).length === 10);
    const connection = network.connect();
    connections.push(connection);
    const entities = await connection.log.open(
      streamName("default", "entities"),
      streamOptions("default", "entities", 1),
    );
    const changed = Order.handle(async (flow) => {
      await flow.wait(Paid);
      return "";
    });
    const found = await checkRuns(programOf([changed]), {
      ...{ namespace: "default", entities, clock: systemClock, random: () => 0.5, progress: () => {} },
    });
    const own = /^open runs of Order no longer reach "item \d", which is recorded$/;
    assertEquals(found.map(({ message, count }) => own.test(message) ? count : `${message} (${count})`), [
      ...Array(8).fill(1),
      "open runs of Order would not go on as before, for other reasons (2)",
    ]);
  });

  it("starts no other workflow, and sends nothing", async () => {
    const check = await stage();
    assertEquals(
      await check(async (flow, input) => {
        await flow.send(Parcel, "A1");
        return await original(flow, input);
      }),
      [
        'break: open runs of Order would go on with "Parcel" without having reached "reserve", "a moment", "charge", "Paid", which are recorded (2)',
      ],
    );
  });
});
