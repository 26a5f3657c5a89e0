import { describe, it } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { CatgaError } from "../error.ts";
import type { Change } from "../ports/key_value_store.ts";
import type { Transport } from "../ports/transport.ts";
import { transportSuite } from "../ports/transport_suite.ts";
import type { Faults } from "./faults.ts";
import { type MemoryConnection, MemoryNetwork, type MemoryNetworkOptions } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";

// with late messages as its only fault, a network still keeps every promise of a transport
transportSuite("memory where everything is late", () => {
  const network = new MemoryNetwork({ seed: 1, faults: { delay: 4 } });
  return Promise.resolve({
    connect: () => Promise.resolve(network.connect({ onError: () => {} })),
    // cast: the function `connect` above made the connection
    cut: (transport) => Promise.resolve((transport as MemoryConnection).cut()),
    restore: (transport) => Promise.resolve((transport as MemoryConnection).restore()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

describe("Faults", () => {
  it("that are invalid are a TypeError or RangeError that names them", () => {
    const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
      [null, TypeError, "faults takes an object of options; got null"],
      [{ drops: 1 }, TypeError, "faults: unknown option drops"],
      [{ drop: 1.5 }, RangeError, "faults.drop must be from 0 to 1; got 1.5"],
      [{ lostAck: NaN }, RangeError, "lostAck"],
      [{ delay: -1 }, RangeError, "faults.delay must be from 0 to"],
      [{ cut: { every: 0, lasts: 1 } }, RangeError, "cut.every"],
      [{ pause: { every: 1, lasts: Infinity } }, RangeError, "pause.lasts"],
      [{ redelivery: 2 }, RangeError, "faults.redelivery must be from 0 to 1"],
      [{ staleRead: -1 }, RangeError, "staleRead"],
      [{ noLeader: { every: 0, lasts: 1 } }, RangeError, "noLeader.every"],
      [{ noQuorum: { every: 1, lasts: NaN } }, RangeError, "noQuorum.lasts"],
      [{ falseBounce: 0.1 }, RangeError, "servers: 2"],
    ];
    for (const [faults, error, message] of wrong) {
      assertThrows(() => new MemoryNetwork({ faults: faults as Faults }), error, message);
    }
    const network = new MemoryNetwork();
    assertThrows(() => network.faults = { drop: 2 }, RangeError);
    assertEquals(network.faults, {});
  });

  it("happen in the same way for the same seed, and differently for the next", async () => {
    const course = async (seed: number) => {
      const faults = { drop: 0.2, delay: 50, cut: { every: 300, lasts: 100 }, pause: { every: 300, lasts: 100 } };
      const { network, clock, bob, got } = setUp({ seed, faults });
      bob.onStatus(({ state }) => got.push(`${clock.now()}: ${state}`));
      const alice = network.connect();
      for (let i = 0; i < 100; i++) {
        alice.publish("a", `${i} at ${clock.now()}`);
        await clock.advance(10);
      }
      await clock.advance(1_000);
      return got;
    };
    assertEquals(await course(1), await course(1));
    assertNotEquals(await course(1), await course(2));
  });

  it("that are off draw no random numbers", async () => {
    let drawn = 0;
    const random = () => {
      drawn++;
      return 0.5;
    };
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, random, faults: { drop: 0, delay: 0 }, servers: 2 });
    const [alice, bob] = [network.connect(), network.connect()];
    const before = drawn;
    bob.subscribe("a", {}, () => {});
    alice.publish("a", "", { reply: "b" });
    const bucket = await clock.until(alice.store.open("bucket"));
    await clock.until(bucket.put("key", "value", { ttl: 1_000 }));
    bob.cut();
    bob.restore();
    assertEquals(drawn, before);
  });
});

describe("drop", () => {
  it("loses messages silently, for some subscriptions and not for others", async () => {
    const { network, clock, alice, got } = setUp({ seed: 1, faults: { drop: 0.5 } });
    const others: string[] = [];
    listen(network.connect(), "a", others);
    const bounced: string[] = [];
    listen(alice, "bounce", bounced);
    for (let i = 0; i < 100; i++) alice.publish("a", String(i), { reply: "bounce" });
    await clock.until(alice.flush());
    assert(got.length > 30 && got.length < 70, String(got.length));
    assertNotEquals(got, others);
    assertEquals(bounced, []);
  });
});

describe("delay", () => {
  it("keeps the order of one publisher, whom others may overtake", async () => {
    const { network, clock, alice, got } = setUp({ seed: 1, faults: { delay: 100 } });
    const carol = network.connect();
    await clock.advance(200);
    for (let i = 0; i < 50; i++) {
      alice.publish("a", `alice ${i}`);
      carol.publish("a", `carol ${i}`);
      await clock.advance(10);
    }
    await clock.advance(200);
    const of = (name: string) => got.filter((text) => text.startsWith(name));
    for (const name of ["alice", "carol"]) assertEquals(of(name), sequence(50, (i) => `${name} ${i}`));
    assertNotEquals(got.map((text) => text.slice(6)), sequence(100, (i) => String(Math.floor(i / 2))));
  });

  it("is bounded in each of the two directions", async () => {
    const { clock, alice, got } = setUp({ seed: 1, faults: { delay: 100 } });
    await clock.advance(200);
    for (let i = 0; i < 100; i++) {
      alice.publish("a", String(i));
      await clock.advance(200);
      assertEquals(got.length, i + 1);
    }
  });

  it("a message sent before a cut may arrive, once, after what the next connection sends", async () => {
    let overtaken = 0;
    for (let seed = 0; seed < 50; seed++) {
      const { clock, alice, got } = setUp({ seed, faults: { delay: 100 } });
      await clock.advance(200);
      alice.publish("a", "old");
      await clock.advance(1);
      alice.cut();
      alice.restore();
      alice.publish("a", "new");
      await clock.advance(400);
      assert(["new", "old new", "new old"].includes(got.join(" ")), got.join(" "));
      if (got.join(" ") === "new old") overtaken++;
    }
    assert(overtaken > 0);
  });

  it("when switched off, messages in transit keep their order with those that follow", async () => {
    const { network, clock, alice, got } = setUp({ seed: 3, faults: { delay: 1_000 } });
    await clock.advance(2_000);
    for (let i = 0; i < 10; i++) alice.publish("a", String(i));
    network.heal();
    for (let i = 10; i < 20; i++) alice.publish("a", String(i));
    await clock.advance(2_000);
    assertEquals(got, sequence(20, String));
  });

  it("the store's answers and a watch's changes keep their order", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 5, faults: { delay: 50 } });
    const { store } = network.connect();
    const bucket = await clock.until(store.open("bucket"));
    const said: string[] = [];
    const onChange = (change: Change) => said.push(`change ${change.type === "put" ? change.value : change.type}`);
    await clock.until(bucket.watch("", onChange, { signal: new AbortController().signal }));
    const writes = sequence(20, (i) => bucket.put("key", String(i)).then(() => said.push(`wrote ${i}`)));
    await clock.until(Promise.all(writes));
    await clock.advance(100);
    for (const what of ["change", "wrote"]) {
      assertEquals(said.filter((it) => it.startsWith(what)), sequence(20, (i) => `${what} ${i}`));
    }
  });
});

describe("falseBounce", () => {
  it("bounces a message whose only subscriber is on another server, instead of delivering it", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, servers: 2, faults: { falseBounce: 1 } });
    const [first, second, third] = [network.connect(), network.connect(), network.connect()];
    assertEquals([first.server.clustered, first.server.id === third.server.id], [true, true]);
    assertNotEquals(first.server.id, second.server.id);
    const got: string[] = [];
    listen(first, "a", got);
    listen(second, "bounce", got);
    listen(third, "bounce", got);
    third.publish("a", "near", { reply: "bounce" });
    second.publish("a", "far", { reply: "bounce" });
    second.publish("a", "far, and nobody is to know");
    await clock.advance(0);
    assertEquals(got, ["near", "no responders", "far, and nobody is to know"]);
  });

  it("a restored connection is one to the next server", () => {
    const network = new MemoryNetwork({ servers: 2 });
    const [first, second] = [network.connect(), network.connect()];
    first.cut();
    first.restore();
    assertEquals(first.server.id, second.server.id);
    first.cut();
    first.restore();
    assertNotEquals(first.server.id, second.server.id);
  });
});

describe("lostAck", () => {
  it("is UNAVAILABLE after 5 s, and the write has happened", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const bucket = await clock.until(network.connect().store.open("bucket"));
    network.faults = { lostAck: 1 };
    const began = clock.monotonic();
    const error = await assertRejects(() => clock.until(bucket.put("key", "value")), CatgaError);
    assertEquals([error.code, clock.monotonic() - began], ["UNAVAILABLE", 5_000]);
    network.faults = {};
    assertEquals((await clock.until(bucket.get("key")))?.value, "value");
  });
});

describe("earlyExpiry", () => {
  it("expires an entry with a ttl early, and none without one", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, faults: { earlyExpiry: 1 } });
    const bucket = await clock.until(network.connect().store.open("bucket"));
    for (let i = 0; i < 20; i++) await clock.until(bucket.put(String(i), "", { ttl: 10_000 }));
    await clock.until(bucket.put("for good", ""));
    await clock.advance(5_000);
    const left = (await clock.until(bucket.entries(""))).length - 1;
    assert(left > 0 && left < 20, String(left));
    await clock.advance(4_999);
    assertEquals((await clock.until(bucket.entries(""))).map(({ key }) => key), ["for good"]);
  });
});

describe("lateExpiry", () => {
  it("expires an entry up to a second after its ttl, and never before", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, faults: { lateExpiry: 1 } });
    const bucket = await clock.until(network.connect().store.open("bucket"));
    for (let i = 0; i < 20; i++) await clock.until(bucket.put(String(i), "", { ttl: 10_000 }));
    await clock.advance(9_900);
    assertEquals((await clock.until(bucket.entries(""))).length, 20);
    await clock.advance(400);
    const left = (await clock.until(bucket.entries(""))).length;
    assert(left > 0 && left < 20, String(left));
    await clock.advance(800);
    assertEquals(await clock.until(bucket.entries("")), []);
  });
});

describe("revival", () => {
  it("brings a deleted entry back for the rest of its ttl; watches report its end", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1, faults: { revival: 1 } });
    const bucket = await clock.until(network.connect().store.open("bucket"));
    const changes: string[] = [];
    const watching = bucket.watch("", ({ type, key }) => changes.push(`${type} ${key}`), {
      signal: new AbortController().signal,
    });
    await clock.until(watching);
    const revision = await clock.until(bucket.put("key", "value", { ttl: 10_000 }));
    await clock.until(bucket.put("for good", "value"));
    for (const key of ["key", "for good"]) await clock.until(bucket.delete(key));
    assertEquals(await clock.until(bucket.get("key")), undefined);
    await clock.advance(1_000);
    assertEquals(await clock.until(bucket.entries("")), [{ key: "key", value: "value", revision }]);
    assertEquals(await clock.until(bucket.create("key", "other")), undefined);
    await clock.advance(9_100);
    assertEquals(await clock.until(bucket.entries("")), []);
    assertEquals(changes, ["put key", "put for good", "delete key", "delete for good", "expire key"]);
  });
});

describe("pause", () => {
  it("no message, timer or answer of the store reaches a frozen process; all of them come late", async () => {
    const { clock, alice, bob, got } = setUp({ seed: 1 });
    const bounced: string[] = [];
    listen(alice, "bounce", bounced);
    bob.clock.after(100, () => got.push(`timer at ${clock.monotonic()}`));
    const cancelled = bob.clock.after(100, () => got.push("cancelled"));
    void bob.store.open("bucket").then(() => got.push("opened"));
    bob.pause();
    alice.publish("a", "1", { reply: "bounce" });
    alice.publish("a", "2", { reply: "bounce" });
    await clock.advance(1_000);
    assertEquals([got, bounced], [[], []]);
    cancelled.cancel();
    bob.resume();
    alice.publish("a", "3");
    await clock.advance(0);
    assertEquals([...got].sort(), ["1", "2", "3", "opened", "timer at 1000"]);
    assertEquals(got.filter((it) => it.length === 1), ["1", "2", "3"]);
    assertEquals(bob.clock.now(), clock.now());
  });

  it("what a frozen process publishes is sent when it goes on", async () => {
    const { clock, alice, got } = setUp({ seed: 1 });
    alice.pause();
    alice.publish("a", "late");
    await clock.advance(1_000);
    assertEquals(got, []);
    alice.resume();
    await clock.advance(0);
    assertEquals(got, ["late"]);
  });

  it("a frozen process sees its cut, and reconnects, when it goes on", async () => {
    const { clock, alice, bob, got } = setUp({ seed: 1 });
    const states: string[] = [];
    bob.onStatus(({ state, generation }) => states.push(`${state} ${generation}`));
    bob.pause();
    bob.cut();
    bob.restore();
    alice.publish("a", "lost");
    await clock.advance(100);
    assertEquals(states, []);
    bob.resume();
    await clock.advance(0);
    assertEquals(states, ["disconnected 1", "connected 2"]);
    alice.publish("a", "found");
    await clock.advance(0);
    assertEquals(got, ["found"]);
  });
});

describe("kill", () => {
  it("a killed process has no subscriptions, and nothing that it does reaches anybody", async () => {
    const { network, clock, alice, bob, got } = setUp({ seed: 1 });
    const received: string[] = [];
    listen(alice, "from.bob", received);
    listen(alice, "bounce", received);
    bob.clock.after(100, () => got.push("timer"));
    const bucket = await clock.until(bob.store.open("bucket"));
    const waiting = bucket.put("key", "sent before").then(() => got.push("answered"));
    bob.kill();
    alice.publish("a", "", { reply: "bounce" });
    bob.publish("from.bob", "");
    void bucket.put("key", "sent after").then(() => got.push("answered"));
    listen(bob, "a", got);
    await clock.advance(60_000);
    assertEquals([got, received], [[], ["no responders"]]);
    assertEquals((await (await clock.until(network.store.open("bucket"))).get("key"))?.value, "sent before");
    void waiting;
  });

  it("what it has sent before still arrives, and the server notices after that", async () => {
    const { clock, alice, bob } = setUp({ seed: 4, faults: { delay: 1_000 } });
    const received: string[] = [];
    listen(alice, "from.bob", received);
    listen(alice, "bounce", received);
    await clock.advance(2_000);
    bob.publish("from.bob", "last words");
    bob.kill();
    await clock.advance(2_000);
    alice.publish("a", "", { reply: "bounce" });
    await clock.advance(3_000);
    assertEquals(received, ["last words", "no responders"]);
  });

  it("a frozen process can be killed, and a name belongs to the last connection that took it", async () => {
    const { network, clock, alice } = setUp({ seed: 1 });
    const received: string[] = [];
    listen(alice, "bounce", received);
    const [old, young] = ["old", "young"].map(() => network.connect({ name: "b" }));
    listen(old, "b", received);
    listen(young, "c", received);
    old.pause();
    old.kill();
    network.cut("b");
    for (const subject of ["b", "c"]) alice.publish(subject, "", { reply: "bounce" });
    await clock.advance(0);
    assertEquals([received, young.status.state], [["no responders", "no responders"], "disconnected"]);
    assertThrows(() => network.kill("x"), TypeError, 'no app "x" is on this network; there are alice, bob, b');
  });
});

describe("cut and pause", () => {
  it("by chance: every connection is cut and restored again and again, until the network is healed", async () => {
    const faults = { cut: { every: 1_000, lasts: 100 }, pause: { every: 1_000, lasts: 100 } };
    const { network, clock, alice, bob } = setUp({ seed: 1, faults });
    const outages: string[] = [];
    for (const [name, one] of [["alice", alice], ["bob", bob]] as const) {
      one.onStatus(({ state }) => outages.push(`${name} ${state}`));
    }
    await clock.advance(20_000);
    for (const name of ["alice", "bob"]) {
      const cuts = outages.filter((it) => it === `${name} disconnected`).length;
      assert(cuts > 8 && cuts < 32, String(cuts));
    }
    network.heal();
    await clock.advance(0);
    assertEquals([alice.status.state, bob.status.state], ["connected", "connected"]);
    const before = outages.length;
    await clock.advance(20_000);
    assertEquals(outages.length, before);
    assertEquals(clock.timers, 0);
  });
});

/** Makes two connections on virtual time, and records the messages that bob gets on subject `a`. */
function setUp(options: MemoryNetworkOptions) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, ...options });
  const [alice, bob] = [network.connect({ name: "alice" }), network.connect({ name: "bob" })];
  const got: string[] = [];
  listen(bob, "a", got);
  return { clock, network, alice, bob, got };
}

function listen(transport: Transport, subject: string, got: string[]): void {
  transport.subscribe(subject, {}, ({ data, noResponders }) => {
    got.push(noResponders ? "no responders" : new TextDecoder().decode(data));
  });
}

function sequence<T>(length: number, make: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => make(i));
}
