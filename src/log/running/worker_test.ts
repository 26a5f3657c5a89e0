import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, fail, type Handlers } from "../../../mod.ts";
import type { Context } from "../../contract/calls/context.ts";
import type { Result } from "../../contract/calls/result.ts";
import { encodeValue } from "../../data/encoding.ts";
import { MemoryEventLog } from "../../memory/event_log.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { CatgaError } from "../../error.ts";
import { type LocalApp, localApp } from "../../../test/support/local_app.ts";
import { counting } from "../../../test/support/schemas.ts";
import { COMMANDS, controlName, runName } from "../../contract/nodes/announcement.ts";
import { commitSubject, subscriptionKey } from "../format/names.ts";
import { type BarrierAnswer, type RunRequest, STILL_RUNNING } from "../format/run_request.ts";
import { streamOptions } from "../format/streams.ts";
import { streamName } from "../format/stream_name.ts";
import { leads } from "../../../test/support/commits.ts";
import { announced, serve } from "./worker.ts";

const Placed = event<{ order: string }>("Placed", { durable: true, key: ({ order }) => order });
const Paid = event<{ order: string }>("Paid", { durable: true });

describe("a run of a message of the log", () => {
  it("answers 0 when its handler has returned, in the same turn if that did", async () => {
    await using node = await worker(Placed.on(() => {}));
    assertEquals(await node.run({}), { ok: true, value: 0 });
    let answered = false;
    node.run({ position: 2 }).then(() => answered = true);
    for (let i = 0; i < 4; i++) await undefined;
    assertEquals(answered, true);
  });

  it("gives the handler what came with the message", async () => {
    const seen: unknown[] = [];
    const look = (payload: unknown, ctx: Context) => {
      const { id, attempt, position, fence, correlationId, causationId, headers } = ctx;
      seen.push({ payload, id, attempt, position, fence, correlationId, causationId, headers: { ...headers } });
    };
    await using node = await worker(Placed.on(look));
    await node.run({ position: 1_025, attempt: 3, meta: { c: "c", a: "a", h: { trace: "t" } } });
    const at = new Date(0);
    await node.run({ position: 1_026, id: "n", payload: encodeValue({ order: "1", at }, "payload"), tagged: 1 });
    assertEquals(seen[0], {
      payload: { order: "1" },
      id: "m",
      attempt: 3,
      position: 1_025,
      fence: node.token,
      correlationId: "c",
      causationId: "a",
      headers: { trace: "t" },
    });
    assertEquals(seen[1], {
      payload: { order: "1", at },
      id: "n",
      attempt: 1,
      position: 1_026,
      fence: node.token,
      correlationId: "n",
      causationId: undefined,
      headers: {},
    });
  });

  it("answers with what its handler failed with", async () => {
    let how: () => unknown = () => {};
    await using node = await worker(Placed.on(() => how()));
    how = () => fail("NO_STOCK", "none is left", { details: { left: 0 } });
    assertEquals(await node.run({}), { ok: true, value: ["NO_STOCK", "none is left", 0] });
    how = () => Promise.resolve(fail("GONE", "for good", { final: true }));
    assertEquals(await node.run({}), { ok: true, value: ["GONE", "for good", 1] });
    how = () => {
      throw new Error("a secret");
    };
    const [code, message, final] = (await node.run({})).value as [string, string, number];
    assertEquals([code, final], ["HANDLER_FAILED", 0]);
    assert(!message.includes("secret"));
    how = () => {
      throw new CatgaError("X".repeat(1_000), "y".repeat(10_000), { details: (() => {}) as unknown });
    };
    const cut = (await node.run({})).value as [string, string, number];
    assertEquals([cut[0].length, cut[1].length], [128, 4_096]);
    assertEquals([cut[0].at(-1), cut[1].at(-1)], ["…", "…"]);
  });

  it("answers with the failure of a handler, or of a behavior, whose error is odd: nothing else ends", async () => {
    const error = Object.defineProperty(new CatgaError("NO_STOCK", "none"), "message", { value: { none: 1 } });
    const failed = { ok: false, error } as const;
    const handlers = [
      Placed.on(() => Promise.reject(error)),
      Placed.on(() => {
        throw error;
      }),
      Placed.on(() => {}, { behaviors: [() => Promise.resolve(failed)] }),
      Placed.on(() => {}, { behaviors: [() => Promise.resolve({ ok: false, error: "text" } as never)] }),
    ];
    const answers = await Promise.all(handlers.map(async (handler) => {
      await using node = await worker(handler);
      return (await node.until(node.run({}))).value;
    }));
    const why = "the handler failed with an error whose message is no text:";
    const answer = ["NO_STOCK", `${why} an object`, 0];
    assertEquals(answers, [answer, answer, answer, ["HANDLER_FAILED", `${why} undefined`, 0]]);
  });

  it("answers with the first failure of several handlers, which run together", async () => {
    const ran: string[] = [];
    const one = Placed.on(async (_, ctx) => {
      await ctx.clock.sleep(10);
      ran.push("one");
    }, { name: "both" });
    const two = Placed.on(() => {
      ran.push("two");
      return fail("TWO", "failed");
    }, { name: "both" });
    await using node = await worker([one, two], "both");
    assertEquals(await node.until(node.run({})), { ok: true, value: ["TWO", "failed", 0] });
    assertEquals(ran, ["two", "one"]);
  });

  it("is a final failure when the contract does not take the payload", async () => {
    let runs = 0;
    const input = counting<{ order: string }, { order: string }>(({ order }) => {
      if (order === "bad") throw new Error("no such order");
      return { order };
    });
    const Checked = event<{ order: string }, { order: string }>("Placed", { durable: true, input });
    await using node = await worker(Checked.on(() => void runs++));
    assertEquals((await node.run({})).value, 0);
    const refused = (await node.run({ payload: { order: "bad" } })).value as unknown[];
    assertEquals([refused[0], refused[2], runs], ["INVALID_MESSAGE", 1, 1]);
    const unreadable = (await node.run({ payload: "~{", tagged: 1 })).value as unknown[];
    assertEquals([unreadable[0], unreadable[2], runs], ["INVALID_MESSAGE", 1, 1]);
  });

  it("fails in its time when a schema or a behavior before its handler does not end, which does not run then", async () => {
    let runs = 0;
    let settle = (_: { value: { order: string } }) => {};
    const validate = () => new Promise<{ value: { order: string } }>((resolve) => settle = resolve);
    const input = { "~standard": { version: 1, vendor: "test", validate } } as const;
    const Checked = event<{ order: string }, { order: string }>("Placed", { durable: true, input });
    const settings = { timeout: 1_000 };
    const hangs = Placed.on(() => void runs++, { ...settings, behaviors: [() => new Promise<never>(() => {})] });
    for (const handler of [Checked.on(() => void runs++, settings), hangs]) {
      await using node = await worker(handler);
      for (const attempt of [1, 2]) {
        const run = node.run({ attempt });
        await node.clock.advance(1_050);
        const [code, message, final] = (await run).value as [string, string, number];
        assertEquals([code, final], ["TIMEOUT", 0]);
        assert(message.includes("a schema or behavior before its handler did not end within its timeout"), message);
      }
      settle({ value: { order: "1" } });
      await node.clock.advance(1_000);
    }
    assertEquals(runs, 0);
  });

  it("ends in TIMEOUT although its handler does not, whose next attempt waits for its end", async () => {
    const ran: number[] = [];
    const ends: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const stuck = Placed.on(async (_, ctx) => {
      ran.push(ctx.attempt);
      most = Math.max(most, ++running);
      if (ctx.attempt === 1) await new Promise<void>((resolve) => ends.push(resolve));
      running--;
    }, { timeout: 1_000 });
    await using node = await worker(stuck);
    const first = node.run({});
    await node.clock.advance(1_050);
    const timeout = (await first).error;
    assertEquals([timeout?.code, timeout?.node], ["TIMEOUT", "here"]);
    const second = node.run({ attempt: 2 });
    await node.clock.advance(1_100);
    const refused = (await second).error;
    assertEquals([refused?.code, refused?.node, refused?.details], ["UNAVAILABLE", "here", STILL_RUNNING]);
    assertEquals(node.seen.filter(({ type }) => type === "fault").length, 1);
    const third = node.run({ attempt: 2 });
    await node.clock.advance(100);
    assertEquals(ran, [1]);
    ends[0]();
    assertEquals((await node.until(third)).value, 0);
    assertEquals([ran, most], [[1, 2], 1]);
  });

  it("is joined by another request for its position", async () => {
    let runs = 0;
    let end = () => {};
    await using node = await worker(Placed.on(() => {
      runs++;
      return new Promise<void>((resolve) => end = resolve);
    }));
    const both = Promise.all([node.run({}), node.run({ attempt: 2 })]);
    await node.clock.advance(10);
    end();
    assertEquals((await both).map(({ value }) => value), [0, 0]);
    assertEquals(runs, 1);
  });

  it("waits for its turn, and is refused, without an attempt, when that does not come in its time", async () => {
    let end = () => {};
    const one = Placed.on(() => new Promise<void>((resolve) => end = resolve), { concurrency: 1, timeout: 1_000 });
    await using node = await worker(one);
    const first = node.run({ position: 1 });
    await node.clock.advance(500);
    const second = node.run({ position: 2 });
    await node.clock.advance(1_100);
    assertEquals((await first).error?.code, "TIMEOUT");
    assertEquals((await node.until(second)).error?.code, "UNAVAILABLE");
    end();
  });

  it("is refused while the node drains; what runs ends", async () => {
    let end = () => {};
    const node = await worker(Placed.on(() => new Promise<void>((resolve) => end = resolve)));
    const running = node.run({});
    await node.clock.advance(10);
    const drained = node.app.drain();
    assertEquals((await node.run({ position: 2 })).error?.code, "DRAINING");
    end();
    assertEquals((await running).value, 0);
    await node.until(drained);
  });
});

describe("a queued command", () => {
  const Book = command<{ seat: number }, string>("Book", { durable: true, idempotent: true });

  it("runs under its claim: its result is what a send with its id gives, and it does not run again", async () => {
    let runs = 0;
    await using node = await worker(
      Book.handle(({ seat }) => {
        runs++;
        return `seat ${seat}`;
      }),
      "Book",
    );
    const request = { id: "b1", payload: { seat: 7 } };
    assertEquals((await node.until(node.command("Book", request))).value, 0);
    assertEquals((await node.until(node.command("Book", { ...request, attempt: 2 }))).value, 0);
    assertEquals((await node.until(node.app.send(Book, { seat: 7 }, { id: "b1" }))).value, "seat 7");
    const reused = (await node.until(node.command("Book", { id: "b1", payload: { seat: 8 } }))).value as unknown[];
    assertEquals([reused[0], runs], ["ID_REUSED", 1]);
  });

  it("whose id is claimed by a run that does not end is refused, without an attempt", async () => {
    const never = Book.handle(() => new Promise<string>(() => {}));
    const node = await worker(never, "Book", 1_000);
    void node.app.send(Book, { seat: 7 }, { id: "b1", timeout: 60_000 });
    await node.clock.advance(100);
    const queued = node.command("Book", { id: "b1", payload: { seat: 7 } });
    await node.clock.advance(1_100);
    const result = await queued;
    assert(!result.ok, `answered ${JSON.stringify(result.value)}`);
    await node.until(node.app.drain({ timeout: 0 }));
  });
});

describe("the token of a leader", () => {
  it("is refused when the record has a later one, also for runs that waited", async () => {
    await using node = await worker(Placed.on(() => {}));
    const old = node.token;
    assertEquals((await node.run({})).value, 0);
    const token = await node.lead();
    assertEquals((await node.run({ position: 2, token })).value, 0);
    assertEquals((await node.until(node.run({ position: 3, token: old }))).value, 1);
  });

  it("that somebody made up neither runs anything nor keeps the leader's messages out", async () => {
    let runs = 0;
    await using node = await worker(Placed.on(() => void runs++));
    const forged = await node.until(node.run({ token: Number.MAX_SAFE_INTEGER }));
    assertEquals(forged.error?.code, "UNAVAILABLE");
    // a forged token may be as great as the present commit's sequence
    await node.renew();
    assertEquals((await node.until(node.run({ token: node.token + 1 }))).error?.code, "UNAVAILABLE");
    assertEquals((await node.until(node.barrier(node.token + 1))).error?.code, "UNAVAILABLE");
    assertEquals(runs, 0);
    assertEquals((await node.until(node.run({}))).value, 0);
  });

  it("costs one read, for all messages that come with it at once", async () => {
    await using node = await worker(Placed.on(() => {}));
    const many = Array.from({ length: 50 }, (_, i) => node.run({ position: i + 1 }));
    await node.until(Promise.all(many));
    await node.until(node.run({ position: 60 }));
    assert(node.reads() <= 2, `${node.reads()} reads`);
  });
});

describe("a barrier", () => {
  it("answers what runs, and refuses earlier leaders from then on", async () => {
    const ends: (() => void)[] = [];
    const slow = Placed.on(() => new Promise<void>((resolve) => ends.push(resolve)), { name: "s", timeout: 1_000 });
    const paid = Paid.on(() => new Promise<void>((resolve) => ends.push(resolve)), { name: "s" });
    await using node = await worker([slow, paid], "s");
    const old = node.token;
    const runs = [node.run({ position: 5 }), node.run({ position: 7 }, "Paid")];
    await node.clock.advance(1_100); // the first run goes on after its timeout
    const token = await node.lead();
    assertEquals((await node.until(node.barrier(token))).value, {
      running: ["5-1", "7-1"],
      ended: [],
      finished: [["5-1", old, 1, ["TIMEOUT", "the handler of Placed did not end within 1000 ms on node here", 0]]],
    });
    assertEquals((await node.until(node.run({ position: 9, token: old }))).value, 1);
    const joined = node.run({ position: 7, token }, "Paid");
    for (const end of ends) end();
    assertEquals((await node.until(joined)).value, 0);
    await node.until(Promise.all(runs));
    const said = (await node.until(node.barrier(token))).value as BarrierAnswer;
    assertEquals([said.running, said.ended], [[], ["5-1", "7-1"]]);
    assertEquals(said.finished[1], ["7-1", token, 1, 0], "a long run, of the leader that has joined it");
    assertEquals((await node.until(node.barrier(old))).error?.code, "CANCELLED");
  });

  it("is answered in one message, whatever the errors of many runs are: what runs first, then what ended last", async () => {
    const names = Array.from({ length: 8 }, (_, i) => `Kind${i}`);
    const failures: (() => void)[] = [];
    const handlers = names.map((name) =>
      event(name, { durable: true }).on(
        () => new Promise<void>((_, reject) => failures.push(() => reject(new Error("\u0001☕".repeat(400))))),
        { name: "s" },
      )
    );
    await using node = await worker(handlers, "s");
    const runs = names.flatMap((name, kind) =>
      Array.from({ length: 200 }, (_, i) => node.run({ position: 1_000 * kind + i + 1 }, name))
    );
    await node.clock.advance(1_500);
    for (const fails of failures.splice(0)) fails();
    await node.until(Promise.all(runs));
    void node.run({ position: 9_001 }, "Kind0");
    await node.clock.advance(0);
    const said = (await node.until(node.barrier(node.token))).value as BarrierAnswer;
    assertLess(JSON.stringify(said).length, 600_000);
    assertEquals(said.running, ["9001-1"]);
    assertGreater(said.finished.length, 100);
    const last = names.map((_, kind) => said.finished.some(([id]) => id === `${1_000 * kind + 200}-1`));
    assertEquals(last, names.map(() => true), "the last one of each contract");
  });
});

describe("what anybody may send to the internal contracts", () => {
  it("is refused when it is no request, and stops nothing", async () => {
    let runs = 0;
    await using node = await worker(Placed.on(() => void runs++));
    const good = ["a", 1, 1, "m", null, {}, 0, 0, null];
    const hostile: unknown[] = [
      ...[null, 7, "x", {}, [], [1], good.slice(0, 8), good, [...good, 1]],
      [node.token, 0, ...good.slice(2)],
      [node.token, ...good.slice(1, 8), { h: { a: 1 } }],
    ];
    for (const payload of hostile) {
      const result = await node.until(node.sendRaw(runName("app", "Placed", "Placed"), payload));
      assertEquals(result.error?.code, "INVALID_MESSAGE", JSON.stringify(payload));
    }
    for (const payload of [null, [], ["barrier"], ["barrier", 0], ["barrier", "1"], ["barrier", 1, 2], ["stop", 1]]) {
      const result = await node.until(node.sendRaw(controlName("app", "Placed"), payload));
      assertEquals(result.error?.code, "INVALID_MESSAGE", JSON.stringify(payload));
    }
    assertEquals(runs, 0);
    assertEquals((await node.until(node.run({}))).value, 0);
  });

  it("does not come from programs: names of internal contracts are not for them", async () => {
    await using node = await worker(Placed.on(() => {}));
    const own = { kind: "command", name: runName("app", "Placed", "Placed"), options: {} } as const;
    assertThrows(() => void node.app.send(own, [] as never), TypeError, "Catga's own");
  });
});

describe("announced", () => {
  it("says what a node handles of the log, once each", async () => {
    const Mail = command<void, void>("Send.Mail", { durable: true });
    const handlers = [
      Placed.on(() => {}, { name: "billing" }),
      Placed.on(() => 1, { name: "billing" }),
      Paid.on(() => {}),
      Paid.on(() => {}, { each: "node" }),
      Mail.handle(() => {}),
    ];
    await using node = await worker(handlers);
    assertEquals(announced("app", node.mediator.durable), ["@/Send.Mail", "Paid/Paid", "billing/Placed"]);
    assertEquals(node.mediator.names, ["Paid", "Placed", "Send.Mail"]);
    assertEquals(node.mediator.kinds, "eec");
    assertEquals(node.mediator.requests.map(({ name }) => name), ["Send.Mail"]);
    assertEquals(node.mediator.events, []);
    assertEquals(announced("app", []), undefined);
  });
});

interface Given {
  token?: number;
  position?: number;
  attempt?: number;
  id?: string;
  payload?: unknown;
  tagged?: 0 | 1;
  meta?: RunRequest[8];
}

interface TestNode extends LocalApp, AsyncDisposable {
  /** Token of the subscription's present leader. */
  readonly token: number;
  run(given: Given, category?: string): Promise<Result<unknown>>;
  command(name: string, given: Given): Promise<Result<unknown>>;
  barrier(token: number): Promise<Result<unknown>>;
  sendRaw(name: string, payload: unknown): Promise<Result<unknown>>;
  /** Stores a commit with which another leader takes over. Resolves with its token. */
  lead(): Promise<number>;
  /** Stores a commit of the present leader again. */
  renew(): Promise<void>;
  /** Returns the number of reads of the last commit. */
  reads(): number;
  until<T>(promise: Promise<T>): Promise<T>;
}

/** Starts a node of service "app" with these handlers, whose subscription `name` has a leader. */
async function worker(handlers: Handlers, name = "Placed", timeout = 30_000): Promise<TestNode> {
  const local = localApp({ handlers, timeout });
  const { inside, mediator, clock } = local;
  const log = new MemoryEventLog(clock);
  const [streamed, options] = [streamName("default", "subscriptions"), streamOptions("default", "subscriptions", 1)];
  const kept = await clock.until(log.open(streamed, options));
  let reads = 0;
  const counted: LogStream = Object.create(kept, {
    last: { value: (...args: Parameters<LogStream["last"]>) => (reads++, kept.last(...args)) },
  });
  const host = { host: inside, mediator, service: "app", namespace: "default", replicas: 1, causes: false, timeout };
  serve({ ...host, log: () => Promise.resolve({ open: () => Promise.resolve(counted) }) });
  const queued = mediator.requests.some((contract) => contract.name === name);
  const service = queued ? COMMANDS : "app";
  const subject = commitSubject("default", subscriptionKey(service, name));
  const sendRaw = (contract: string, payload: unknown) =>
    inside.sendInternal({ kind: "command", name: contract, options: {} }, payload, { timeout: timeout + 2_000 });
  const request = ({ token = node.token, position = 1, attempt = 1, id = "m", ...rest }: Given): RunRequest => {
    const { payload = { order: "1" }, tagged = 0, meta = null } = rest;
    return [token, position, attempt, id, null, payload, tagged, 1, meta];
  };
  const write = async (token: number) =>
    void await clock.until(kept.append(subject, leads("x.1", token), { timeout: 1_000 }));
  const lead = async () => {
    await write(node.token += 10);
    return node.token;
  };
  const node = {
    ...local,
    token: 0,
    run: (given: Given, category = "Placed") => sendRaw(runName("app", name, category), request(given)),
    command: (command: string, given: Given) => sendRaw(runName(COMMANDS, command, command), request(given)),
    barrier: (token: number) => sendRaw(controlName(service, name), ["barrier", token]),
    sendRaw,
    lead,
    renew: () => write(node.token),
    reads: () => reads,
    until: <T>(promise: Promise<T>) => clock.until(promise),
    [Symbol.asyncDispose]: () => clock.until(inside.drain({ timeout: 0 })),
  };
  await lead();
  await write(node.token);
  return node;
}
