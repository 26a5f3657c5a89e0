import { describe, it } from "node:test";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CatgaError, entity, fail } from "../../mod.ts";
import { NO_LEADER, refusal, SILENCE } from "../../test/support/scripted_stream.ts";
import type { EntityBody } from "../contract/declaration/handler.ts";
import type { DecidingMessage } from "../dispatch/context_host.ts";
import type { Appended, EventLog, LogStream } from "../ports/event_log.ts";
import { PendingCommand, storeDeadline } from "./command.ts";
import { EntityStream } from "./entity_stream.ts";
import { type EntitiesHost, Snapshots } from "./snapshots.ts";
import { OptimisticAppends } from "./optimistic_appends.ts";
import { StoredCommands } from "./stored_commands.ts";
import { WarmCopies } from "./warm_copies.ts";
import { MemoryNetwork, VirtualClock } from "../testing/mod.ts";

const Box = entity<unknown>("Box", { initial: () => [] });
const Put = Box.event<string>("Put", (all, one) => [...all as string[], one]);
const { "~entity": definition } = Box;

/** The answer of the stream in a test to an append; calling `store` stores the message. */
type Answer = (store: () => Promise<Appended>) => Promise<Appended>;
const lost: Answer = async (store) => (await store(), SILENCE);
const dropped: Answer = () => Promise.resolve(SILENCE);

interface Given {
  readonly id?: string;
  readonly send?: string;
  readonly span?: number;
  readonly only?: true;
  readonly aborted?: () => CatgaError | undefined;
  /** Time until the command's deadline, in ms. Default: 1,000. */
  readonly timeout?: number;
  /** The node that runs the command. Default: a new node, which has not read the entity yet. */
  readonly on?: OptimisticAppends;
}

/**
 * Makes an entity in memory, whose stream answers the appends of its commands by `answers`, and later ones by
 * `otherwise`.
 */
function setUp(answers: Answer[] = [], otherwise: Answer = (store) => store()) {
  const clock = new VirtualClock();
  const { log, store } = new MemoryNetwork({ clock, seed: 1 }).connect();
  const appended: string[] = [];
  const waits: number[] = [];
  const host: EntitiesHost = {
    ...{ namespace: "default", endpoint: "a.1", replicas: 1, timeout: 5_000, carried: [], store, clock },
    ...{ observer: () => {}, network: { maxPayload: 1_048_576 }, shapeOf: () => undefined },
    log: answering(log, (text, store, wait) => {
      appended.push(text);
      waits.push(wait);
      return (answers.shift() ?? otherwise)(store);
    }),
  };
  const stream = new EntityStream(host, new Snapshots(host), new StoredCommands(clock));
  const load = () => stream.current({ definition, id: "b" }, undefined, clock.monotonic() + 5_000);
  let number = 0;
  /** Makes a node that has nothing in memory. */
  const node = () => {
    const commands = new StoredCommands(clock);
    return new OptimisticAppends({
      ...{ host, commands, stream: new EntityStream(host, new Snapshots(host), commands), warm: new WarmCopies() },
      ...{ number: (events) => (number += events) - events, changed: () => {} },
    });
  };
  const run = async (
    decide: EntityBody["decide"],
    { id = "c", send, span, only, aborted = () => undefined, timeout = 1_000, on = node() }: Given = {},
  ): Promise<unknown> => {
    const deadline = clock.monotonic() + timeout;
    const ctx = {
      ...{ id, correlationId: id, headers: {}, contract: { kind: "command", name: "PutIt", options: {} } },
      envelope: { call: `call ${id}`, attempt: 1, ancestry: [], send, span, only },
      get aborted() {
        return aborted();
      },
      execution: { payload: "p", until: (work: Promise<unknown>) => work },
      remaining: (now: number) => deadline - now,
    } as unknown as DecidingMessage; // safe: a command uses only these members
    const subject = stream.subject("Box", "b");
    const { promise, ...to } = Promise.withResolvers<unknown>();
    const command = new PendingCommand({ host, body: { definition, decide }, subject, id: "b", payload: "p", ctx, to });
    on.begin(command);
    return await promise;
  };
  const until = <T>(promise: Promise<T>) => clock.until(promise, 600_000);
  const items = async () => (await until(load())).state as string[];
  const patient = (...args: Parameters<typeof run>) => until(run(...args));
  return { clock, node, run: patient, inner: run, appended, waits, items };
}

/**
 * Wraps a log: each append calls `append` with the text of the message, and with a function that stores the message.
 */
function answering(
  log: EventLog,
  append: (text: string, store: () => Promise<Appended>, wait: number) => Promise<Appended>,
) {
  const open: EventLog["open"] = async (name, options) => {
    const stream = await log.open(name, options);
    return new Proxy(stream, {
      get(_, method: keyof typeof stream) {
        if (method === "appendNext") {
          const appendNext: LogStream["appendNext"] = (receiver, subject, text, { now, due, expect }) => {
            const stored = append(text, () => stream.append(subject, text, { timeout: due, expect }), due - now);
            stored.then((appended) => receiver.appended(appended, due));
          };
          return appendNext;
        }
        const member = stream[method];
        return typeof member === "function" ? member.bind(stream) : member;
      },
    });
  };
  return { open };
}

const put = (one: string): EntityBody["decide"] => (box) => {
  box.emit(Put, one);
  return `put ${one}`;
};
const failure = async (run: () => Promise<unknown>) => {
  const { code, retryable, message } = await assertRejects(run, CatgaError);
  return { code, retryable, message };
};

describe("a command of an entity", () => {
  it("whose append was stored, and not answered, gets its recorded result, and is decided once", async () => {
    const { run, appended, items } = setUp([lost]);
    let decided = 0;
    const result = await run((...args) => (decided++, put("x")(...args)));
    assertEquals({ result, decided, items: await items() }, { result: "put x", decided: 1, items: ["x"] });
    assertEquals(appended[0], appended[1]);
  });

  it("whose only attempt is here is looked for, too, when its append was stored and not answered", async () => {
    const { run, items } = setUp([lost]);
    let decided = 0;
    const result = await run((...args) => (decided++, put("x")(...args)), { only: true });
    assertEquals({ result, decided, items: await items() }, { result: "put x", decided: 1, items: ["x"] });
  });

  it("whose earlier attempt its node has forgotten, so long ago was it, is looked for in the stream, and decided once", async () => {
    const { clock, node, run, items } = setUp();
    const on = node();
    await run(put("first"), { on, id: "first" }); // the node knows the entity from here on
    await clock.advance(60_000);
    let decided = 0;
    const decide: EntityBody["decide"] = (...args) => (decided++, put("x")(...args));
    assertEquals(await run(decide, { on, span: 300_000, timeout: 300_000 }), "put x");
    for (let n = 0; n < 9; n++) { // in 90 s the node's memory of recent commands is taken up by newer ones
      await clock.advance(10_000);
      await run(put("other"), { on, id: `other ${n}`, span: 1_000 });
    }
    assertEquals(await run(decide, { on, span: 300_000, timeout: 200_000 }), "put x");
    assertEquals([decided, (await items()).filter((item) => item === "x")], [1, ["x"]]);
  });

  it("whose append was lost appends the same again, and is stored once", async () => {
    const { run, appended, items } = setUp([dropped, dropped]);
    let decided = 0;
    assertEquals(await run((...args) => (decided++, put("x")(...args))), "put x");
    assertEquals({ appends: appended.length, texts: new Set(appended).size, decided }, {
      appends: 3,
      texts: 1,
      decided: 1,
    });
    assertEquals(await items(), ["x"]);
  });

  it("waits 2 s for the answer to its first append, and 5 s for later ones", async () => {
    const { run, waits } = setUp([dropped]);
    await run(put("x"), { timeout: 20_000 });
    assertEquals(waits, [2_000, 5_000]);
  });

  it("is OUTCOME_UNKNOWN at its deadline only if an append had no answer, else it is certainly not applied", async () => {
    const unknown = await failure(() => setUp([dropped], () => Promise.resolve(NO_LEADER)).run(put("x")));
    assertEquals([unknown.code, unknown.retryable], ["OUTCOME_UNKNOWN", false]);
    const { clock, run, items } = setUp([], () => Promise.resolve(NO_LEADER));
    const certain = await failure(() => run(put("x")));
    assertEquals(certain, {
      code: "UNAVAILABLE",
      retryable: true,
      message: "PutIt of Box b was not applied: its deadline has passed; last error: no leader",
    });
    assertEquals(clock.monotonic(), 950);
    assertEquals(await items(), []);
  });

  it("that the stream refuses fails at once, but not while an append of it may yet be stored", async () => {
    const refused: Answer = () => Promise.resolve(refusal("TOO_LARGE"));
    const { run, appended } = setUp([refused]);
    assertEquals((await failure(() => run(put("x")))).code, "TOO_LARGE");
    assertEquals(appended.length, 1);
    assertEquals((await failure(() => setUp([dropped], refused).run(put("x")))).code, "OUTCOME_UNKNOWN");
  });

  it("is decided again on what came first, 9 times at most", async () => {
    for (const span of [undefined, 1_000]) {
      const { run, inner, items } = setUp();
      const seen: number[] = [];
      const contested: EntityBody["decide"] = async (box) => {
        seen.push(box.version);
        await inner(put(`${box.version}`), { id: `other ${box.version}` });
        box.emit(Put, "x");
      };
      const { code, message, retryable } = await failure(() =>
        run(contested, span === undefined ? {} : { span, send: "s" })
      );
      assertEquals(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
      assertEquals((await items()).includes("x"), false);
      // OUTCOME_UNKNOWN because another node may still handle an earlier attempt
      const expected = span === undefined ? ["CONFLICT", true] : ["OUTCOME_UNKNOWN", false];
      assertEquals([code, retryable], expected);
      assertStringIncludes(message, span === undefined ? "; send it again after a pause" : "may have been applied");
    }
  });

  it("that emits nothing holds only for the latest state, whether it fails, throws or returns", async () => {
    const decisions: ((version: number) => unknown)[] = [
      (version) => fail("FULL", `${version}`),
      (version) => version,
      (version) => {
        throw new Error(`${version}`);
      },
    ];
    for (const decision of decisions) {
      const { run, inner } = setUp();
      let last: number | undefined;
      const decided = run(async (box) => {
        if (box.version === 0) await inner(put("y"), { id: "other" });
        last = box.version;
        return decision(box.version);
      });
      await decided.catch(() => {});
      assertEquals(last, 1);
    }
  });

  it("that emits nothing, and was sent before, keeps its other attempts from being applied", async () => {
    const { run, appended, items } = setUp();
    assertEquals(await run(() => "nothing", { send: "s", span: 1_000 }), "nothing");
    assertEquals(appended.length, 1);
    assertEquals((await failure(() => run(put("x"), { send: "s" }))).code, "CONFLICT");
    assertEquals(await run(put("y"), { send: "t", id: "d" }), "put y");
    assertEquals(await items(), ["y"]);
  });

  it("that was aborted while it was decided fails so, and appends nothing", async () => {
    for (const emits of [true, false]) {
      const { run, appended } = setUp();
      let aborted: CatgaError | undefined;
      const cancelled: EntityBody["decide"] = (box) => {
        aborted = new CatgaError("CANCELLED", "the sender gave up");
        if (emits) box.emit(Put, "x");
      };
      assertEquals((await failure(() => run(cancelled, { aborted: () => aborted }))).code, "CANCELLED");
      assertEquals(appended, []);
    }
  });
});

describe("storeDeadline", () => {
  it("is 50 ms before the deadline, or a tenth of a shorter time", () => {
    // safe: `storeDeadline` only asks for the time left
    const due = (left: number) => storeDeadline({ remaining: () => left } as unknown as DecidingMessage, 100);
    assertEquals([due(5_000), due(500), due(100), due(0)], [5_050, 550, 190, 100]);
  });
});
