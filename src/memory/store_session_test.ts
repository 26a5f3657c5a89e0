import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { CatgaError } from "../error.ts";
import type { TransportStatus } from "../ports/transport.ts";
import { FaultSource } from "./faults.ts";
import { ServerLink } from "./server_link.ts";
import { MemoryProcess } from "./memory_process.ts";
import { seededRandom } from "./seeded_random.ts";
import { isRolledBack, rolledBack, type SessionClient, StoreSession } from "./store_session.ts";
import { VirtualClock } from "./virtual_clock.ts";

/**
 * Makes a session over a connection that can be cut. `note` adds the value with which a call resolves, or the error
 * with which it rejects, to `seen`.
 */
function setUp() {
  const clock = new VirtualClock();
  const faults = new FaultSource(seededRandom(1));
  const link = new ServerLink(clock, faults, new MemoryProcess(clock, faults.random));
  let status: TransportStatus = { state: "connected", generation: 1 };
  const session = new StoreSession(clock, faults, {
    link,
    maxPayload: 1_000,
    get status() {
      return status;
    },
    onStatus: () => () => {},
  });
  const seen: string[] = [];
  const note = (name: string, call: Promise<unknown>) =>
    void call.then(
      (value) => seen.push(`${name} ${value}`),
      (error) => seen.push(`${name} ${error instanceof CatgaError ? error.code : error.message}`),
    );
  const cut = (state: "disconnected" | "closed" = "disconnected") => {
    status = { state, generation: 1 };
    link.detach();
  };
  const restore = () => {
    status = { state: "connected", generation: 2 };
    link.attach();
  };
  return { clock, faults, link, session, seen, note, cut, restore };
}

describe("StoreSession: call", () => {
  it("runs and answers in later turns, in the order of the calls; what an operation throws is its answer", async () => {
    const { clock, session, seen, note } = setUp();
    note("a", session.call(() => seen.push("runs a")));
    note(
      "b",
      session.call(() => {
        throw new Error("no");
      }),
    );
    note("c", session.call(() => "3"));
    assertEquals(seen, []);
    await clock.advance(0);
    assertEquals(seen, ["runs a", "a 1", "b no", "c 3"]);
  });

  it("a connection that is lost under it: is UNAVAILABLE, though the operation has run; CLOSED if it was closed", async () => {
    for (const [state, code] of [["disconnected", "UNAVAILABLE"], ["closed", "CLOSED"]] as const) {
      const { clock, session, seen, note, cut } = setUp();
      note("a", session.call(() => cut(state)));
      await clock.advance(0);
      note("b", session.call(() => seen.push("runs b")));
      await clock.advance(0);
      assertEquals(seen, [`a ${code}`, `b ${code}`]);
    }
  });

  it("an answer to the connection before a reconnect does not arrive", async () => {
    const { clock, session, seen, note, cut, restore } = setUp();
    note(
      "a",
      session.call(() => {
        cut();
        restore();
        return "late";
      }),
    );
    await clock.advance(0);
    assertEquals(seen, ["a UNAVAILABLE"]);
  });

  it("gate: waits for it, no longer than the limit; the operation may run later, its answer counts for nothing", async () => {
    const { clock, session, seen, note } = setUp();
    const gates: (() => void)[] = [];
    const gate = (perform: () => void) => void gates.push(perform);
    note("a", session.call(() => seen.push("runs a"), { gate, limit: 1_000 }));
    note("b", session.call(() => seen.push("runs b"), { gate, limit: 1_000 }));
    await clock.advance(999);
    gates[0]();
    await clock.advance(0);
    assertEquals({ seen, timers: clock.timers }, { seen: ["runs a", "a 1"], timers: 1 });
    await clock.advance(1);
    gates[1]();
    await clock.advance(0);
    assertEquals(seen, ["runs a", "a 1", "b UNAVAILABLE", "runs b"]);
    assertEquals(clock.timers, 0);
  });

  it("a lost answer: the operation has run, and the call is UNAVAILABLE after 5 s", async () => {
    const { clock, faults, session, seen, note } = setUp();
    faults.faults = { lostAck: 1 };
    note("a", session.call(() => seen.push("runs a")));
    await clock.advance(4_999);
    assertEquals(seen, ["runs a"]);
    await clock.advance(1);
    assertEquals(seen, ["runs a", "a UNAVAILABLE"]);
  });
});

describe("StoreSession: other ways", () => {
  it("channel: is of one connection, and sends nothing over the next", async () => {
    const { clock, session, seen, cut, restore } = setUp();
    const channel = session.channel();
    channel.send(() => seen.push("first"));
    await clock.advance(0);
    channel.send(() => seen.push("on its way"));
    cut();
    restore();
    channel.send(() => seen.push("late"));
    const next = session.channel();
    next.send(() => seen.push("next"));
    await clock.advance(0);
    assertEquals({ seen, open: channel.open, next: next.open }, { seen: ["first", "next"], open: false, next: true });
  });

  it("tell: is lost with the connection; soon: is not, and comes after earlier answers", async () => {
    const { clock, faults, session, seen, note, cut } = setUp();
    faults.faults = { delay: 1_000 };
    note("a", session.call(() => "answered"));
    await clock.advance(2_000);
    session.soon(() => seen.push("soon"));
    cut();
    session.tell(() => seen.push("told"));
    await clock.advance(2_000);
    assertEquals(seen, ["a answered", "soon"]);
  });

  it("without a client the store is always reachable, and nothing goes wrong on the way", async () => {
    const clock = new VirtualClock();
    const faults = new FaultSource(seededRandom(1));
    faults.faults = { lostAck: 1 };
    const session = new StoreSession(clock, faults);
    const seen: string[] = [];
    const call = session.call(() => "answer");
    session.tell(() => seen.push("told"));
    session.channel().send(() => seen.push("sent"));
    assertEquals(await clock.until(call), "answer");
    assertEquals({ seen, connected: session.connected, maxPayload: session.maxPayload }, {
      seen: ["told", "sent"],
      connected: true,
      maxPayload: 1_048_576,
    });
  });
});

/** A gate that lets nothing through until it is told that the writes are stored, or that they are not. */
function closedGate() {
  const waiting: ((error?: CatgaError) => void)[] = [];
  return {
    after: (callback: (error?: CatgaError) => void) => void waiting.push(callback),
    open: (error?: CatgaError) => waiting.splice(0).forEach((callback) => callback(error)),
  };
}

describe("StoreSession: gate", () => {
  for (const over of ["no connection", "a connection"] as const) {
    /** Makes a session over that, and its gate. */
    const setUp = () => {
      const clock = new VirtualClock();
      const faults = new FaultSource(seededRandom(1));
      const client: SessionClient = {
        link: new ServerLink(clock, faults, new MemoryProcess(clock, faults.random)),
        maxPayload: 1_000,
        status: { state: "connected", generation: 1 },
        onStatus: () => () => {},
      };
      const gate = closedGate();
      const isConnected = over === "a connection";
      const session = new StoreSession(clock, isConnected ? faults : undefined, isConnected ? client : undefined, gate);
      return { clock, gate, session };
    };

    it(`over ${over}: answers, changes and deliveries wait for the gate`, async () => {
      const { clock, gate, session } = setUp();
      const left: string[] = [];
      void session.call(() => "answer").then((answer) => left.push(answer));
      await clock.advance(10);
      session.soon(() => left.push("change"));
      session.channel().send(() => left.push("delivery"));
      await clock.advance(10);
      assertEquals(left, []);
      gate.open();
      await clock.advance(10);
      assertEquals(left.toSorted(), ["answer", "change", "delivery"]);
    });

    it(`over ${over}: after a rollback calls reject, and changes and deliveries are dropped`, async () => {
      const { clock, gate, session } = setUp();
      const left: unknown[] = [];
      void session.call(() => "answer").catch((error) => left.push(isRolledBack(error)));
      await clock.advance(10);
      session.soon(() => left.push("change"));
      session.channel().send(() => left.push("delivery"));
      gate.open(rolledBack("the disk is full", {}, undefined));
      await clock.advance(10);
      assertEquals(left, [true]);
    });
  }
});
