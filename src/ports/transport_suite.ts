/** Tests of what {@link Transport} promises, which every implementation has to pass. */
import { afterEach, beforeEach, describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CatgaError } from "../error.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Transport, TransportMessage, TransportStatus } from "./transport.ts";

/** The implementation that is tested. Its transports ignore the errors of callbacks. */
export interface TransportHarness extends AsyncDisposable {
  /** Makes a new connection to the network. */
  connect(): Promise<Transport>;
  /** Breaks a connection; resolves when the transport has noticed. */
  cut(transport: Transport): Promise<void>;
  /** Repairs a connection; resolves when the transport is connected again. */
  restore(transport: Transport): Promise<void>;
}

/**
 * Defines the tests for one implementation; each test has a network of its own.
 * @decides the suites that an implementation of a port has to pass: this one, `key_value_store_suite.ts`,
 * `event_log_suite.ts`
 */
export function transportSuite(name: string, start: () => Promise<TransportHarness>): void {
  describe(`Transport on ${name}`, () => {
    let network: TransportHarness;
    let opened: Transport[];

    beforeEach(async () => {
      network = await start();
      opened = [];
    });
    afterEach(async () => {
      await Promise.all(opened.map((transport) => transport.close()));
      await network[Symbol.asyncDispose]();
    });

    async function connect(): Promise<Transport> {
      const transport = await network.connect();
      opened.push(transport);
      return transport;
    }

    /** Makes two connections. Returns them, and the list of messages that the second one receives on `subject`. */
    async function pair(subject: string): Promise<{ alice: Transport; bob: Transport; got: TransportMessage[] }> {
      const [alice, bob] = await Promise.all([connect(), connect()]);
      const got = await collect(bob, subject);
      return { alice, bob, got };
    }

    describe("publish", () => {
      it("publish: a string arrives as UTF-8, with its subject and nothing that was not sent", async () => {
        const { alice, got } = await pair("greeting");
        alice.publish("greeting", "grüß dich, 你好 👋");
        await arrive(got, 1);
        assertEquals(text(got[0]), "grüß dich, 你好 👋");
        assertEquals(got[0].subject, "greeting");
        assertEquals(got[0].reply, undefined);
        assertEquals(got[0].headers, undefined);
        assertEquals(got[0].noResponders, false);
      });

      it("publish: bytes arrive as they are, all 256 of them", async () => {
        const { alice, got } = await pair("bytes");
        const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
        alice.publish("bytes", bytes);
        await arrive(got, 1);
        assertEquals([...got[0].data], [...bytes]);
      });

      it("publish: a view sends its own part of the buffer", async () => {
        const { alice, got } = await pair("view");
        alice.publish("view", new Uint8Array([0, 1, 2, 3, 4, 5]).subarray(2, 4));
        await arrive(got, 1);
        assertEquals([...got[0].data], [2, 3]);
      });

      it("publish: an empty string and empty bytes arrive as messages without data", async () => {
        const { alice, got } = await pair("empty");
        alice.publish("empty", "");
        alice.publish("empty", new Uint8Array());
        await arrive(got, 2);
        assertEquals(got.map((message) => [message.data.length, message.noResponders]), [[0, false], [0, false]]);
      });

      it("publish: the reply subject goes with the message", async () => {
        const { alice, got } = await pair("question");
        alice.publish("question", "?", { reply: "answer.to.alice" });
        await arrive(got, 1);
        assertEquals(got[0].reply, "answer.to.alice");
      });

      it("publish: headers arrive with the case of their names and the spaces at the ends of values gone", async () => {
        const { alice, got } = await pair("headers");
        const headers = { "X-Trace": "a:b=c", "x-lower": "1", Empty: "", Wide: "你好 👋", Spaces: "  in the middle  " };
        alice.publish("headers", "with", { headers });
        await arrive(got, 1);
        assertEquals({ ...got[0].headers }, { ...headers, Spaces: "in the middle" });
        assertEquals(text(got[0]), "with");
      });

      it("publish: headers arrive with an empty message, and no headers among empty ones", async () => {
        const { alice, got } = await pair("headers");
        alice.publish("headers", "", { headers: { a: "1" } });
        alice.publish("headers", "none", { headers: {} });
        await arrive(got, 2);
        assertEquals([{ ...got[0].headers }, got[0].data.length], [{ a: "1" }, 0]);
        assertEquals([{ ...got[1].headers }, text(got[1])], [{}, "none"]);
      });

      it("publish: what the sender changes afterwards does not change the message", async () => {
        const { alice, got } = await pair("copies");
        const bytes = new Uint8Array([1, 2, 3]);
        const headers = { a: "1" };
        alice.publish("copies", bytes, { headers });
        bytes.fill(9);
        headers.a = "9";
        await arrive(got, 1);
        assertEquals([...got[0].data], [1, 2, 3]);
        assertEquals({ ...got[0].headers }, { a: "1" });
      });

      it("publish: one receiver's changes reach no other", async () => {
        const { alice, bob, got } = await pair("copies");
        const spoiled = await collect(bob, "copies", (message) => message.data.fill(0));
        const later = await collect(bob, "copies");
        alice.publish("copies", new Uint8Array([1, 2, 3]));
        await arrive(later, 1);
        assertEquals(spoiled.length, 1);
        assertEquals([...got[0].data], [1, 2, 3]);
        assertEquals([...later[0].data], [1, 2, 3]);
      });

      it("publish: delivers in a later turn, to the publisher's own subscription too", async () => {
        const alice = await connect();
        let turn = "this";
        const turns: string[] = [];
        await collect(alice, "self", () => turns.push(turn));
        alice.publish("self", "");
        for (let i = 0; i < 10; i++) await Promise.resolve();
        turn = "later";
        await eventually("the message", () => turns.length === 1);
        assertEquals(turns, ["later"]);
      });

      it("publish: a burst of 1,000 messages arrives whole and in order at every subscription", async () => {
        const { alice, bob, got } = await pair("burst.*");
        const all = await collect(bob, ">");
        for (let i = 0; i < 1_000; i++) alice.publish(`burst.${i % 7}`, String(i));
        await arrive(got, 1_000);
        await arrive(all, 1_000);
        const sent = Array.from({ length: 1_000 }, (_, i) => String(i));
        assertEquals(got.map(text), sent);
        assertEquals(all.map(text), sent);
      });

      it("publish: a message of maxPayload bytes arrives, one byte more is TOO_LARGE", async () => {
        const { alice, got } = await pair("large");
        alice.publish("large", new Uint8Array(alice.maxPayload).fill(7));
        const error = assertThrows(() => alice.publish("large", new Uint8Array(alice.maxPayload + 1)), CatgaError);
        assertEquals(error.code, "TOO_LARGE");
        await arrive(got, 1);
        assertEquals(got[0].data.length, alice.maxPayload);
        alice.publish("large", "after");
        await arrive(got, 2);
        assertEquals(text(got[1]), "after");
      });

      it("publish: a string is measured in bytes", async () => {
        const alice = await connect();
        const wide = "é".repeat(alice.maxPayload / 2 + 1);
        assertEquals(assertThrows(() => alice.publish("large", wide), CatgaError).code, "TOO_LARGE");
      });

      it("publish: headers count towards maxPayload as NATS writes them", async () => {
        const { alice, got } = await pair("large");
        const written = "NATS/1.0\r\na: b\r\n\r\n".length;
        const headers = { a: "b" };
        alice.publish("large", new Uint8Array(alice.maxPayload - written), { headers });
        const error = assertThrows(
          () => alice.publish("large", new Uint8Array(alice.maxPayload - written + 1), { headers }),
          CatgaError,
        );
        assertEquals(error.code, "TOO_LARGE");
        await arrive(got, 1);
      });

      it("publish: a subject or reply with empty tokens, spaces or wildcards is a TypeError", async () => {
        const alice = await connect();
        for (
          const subject of ["", ".", ".a", "a.", "a..b", "a b", " a", "a\t", "a\r\nb", "*", "a.*", "a.*.b", ">", "a.>"]
        ) {
          assertThrows(() => alice.publish(subject, ""), TypeError, JSON.stringify(subject));
          assertThrows(() => alice.publish("a", "", { reply: subject }), TypeError, JSON.stringify(subject));
        }
      });

      it("publish: a header that would break the protocol is a TypeError", async () => {
        const alice = await connect();
        for (const [name, value] of [["a b", ""], ["a:b", ""], ["", ""], ["ä", ""], ["a", "1\r\nb: 2"], ["a", "\n"]]) {
          assertThrows(() => alice.publish("a", "", { headers: { [name]: value } }), TypeError, "a header's");
        }
      });
    });

    describe("noResponders", () => {
      it("publish: a message without a receiver bounces: noResponders to its own reply subscription", async () => {
        const alice = await connect();
        const bounced = await collect(alice, "bounce.alice.>");
        alice.publish("nobody", "lost", { reply: "bounce.alice.1" });
        await arrive(bounced, 1);
        assertEquals(bounced[0].subject, "bounce.alice.1");
        assertEquals(bounced[0].noResponders, true);
        assertEquals(bounced[0].data.length, 0);
      });

      it("publish: bounces arrive in order, and before what was published after them", async () => {
        const alice = await connect();
        const bounced = await collect(alice, "bounce.>");
        for (let i = 0; i < 100; i++) alice.publish("nobody", "lost", { reply: `bounce.${i}` });
        alice.publish("bounce.end", "");
        await arrive(bounced, 101);
        assertEquals(bounced.map((message) => message.subject).slice(0, 100), sequence(100, (i) => `bounce.${i}`));
        assertEquals(bounced.map((message) => message.noResponders), [...sequence(100, () => true), false]);
      });

      it("publish: a message with a receiver does not bounce", async () => {
        const { alice, got } = await pair("somebody");
        const bounced = await collect(alice, "bounce.>");
        alice.publish("somebody", "kept", { reply: "bounce.kept" });
        alice.publish("nobody", "lost", { reply: "bounce.lost" });
        await arrive(bounced, 1);
        await arrive(got, 1);
        assertEquals(bounced.map((message) => message.subject), ["bounce.lost"]);
      });

      it("publish: a message that only a queue member, a wildcard or its own sender got does not bounce", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const bounced = await collect(alice, "bounce.>");
        await collect(bob, "queued", undefined, "workers");
        await collect(bob, "wild.>");
        await collect(alice, "own");
        for (const subject of ["queued", "wild.card", "own", "nobody"]) {
          alice.publish(subject, "", { reply: `bounce.${subject}` });
        }
        await arrive(bounced, 1);
        assertEquals(bounced.map((message) => message.subject), ["bounce.nobody"]);
      });

      it("publish: a message without a reply subject does not bounce", async () => {
        const alice = await connect();
        const got = await collect(alice, "bounce.>");
        alice.publish("nobody", "lost");
        alice.publish("bounce.end", "");
        await arrive(got, 1);
        assertEquals(got[0].noResponders, false);
      });

      it("publish: a bounce arrives once, at the publisher's own subscription only", async () => {
        const { alice, bob, got: foreign } = await pair("bounce.>");
        const first = await collect(alice, "bounce.>");
        const second = await collect(alice, "bounce.*");
        bob.publish("nobody", "", { reply: "other.bob" });
        alice.publish("nobody", "", { reply: "bounce.alice" });
        alice.publish("bounce.end", "");
        await Promise.all([arrive(foreign, 1), eventually("both ends", () => ended(first) && ended(second))]);
        assertEquals(foreign.map((message) => message.subject), ["bounce.end"]);
        assertEquals([...first, ...second].filter((message) => message.noResponders).length, 1);
      });

      it("publish: there is no bounce when only another connection subscribes to the reply subject", async () => {
        const { alice, bob, got } = await pair("bounce.alice");
        alice.publish("nobody", "", { reply: "bounce.alice" });
        await alice.flush();
        bob.publish("bounce.alice", "end");
        await arrive(got, 1);
        assertEquals(got.map(text), ["end"]);
      });

      it("publish: a member of a queue gets no bounce", async () => {
        const alice = await connect();
        const queued = await collect(alice, "bounce.>", undefined, "workers");
        alice.publish("nobody", "", { reply: "bounce.alice" });
        alice.publish("bounce.end", "");
        await arrive(queued, 1);
        assertEquals(queued.map((message) => message.subject), ["bounce.end"]);
      });

      it("publish: a message bounces once the last subscription is closed, or drained", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const bounced = await collect(alice, "bounce.>");
        const closed = bob.subscribe("target", {}, () => {});
        const drained = bob.subscribe("target", {}, () => {});
        await bob.flush();
        closed.close();
        await bob.flush();
        alice.publish("target", "", { reply: "bounce.early" });
        await alice.flush();
        await drained.drain();
        alice.publish("target", "", { reply: "bounce.late" });
        await arrive(bounced, 1);
        assertEquals(bounced.map((message) => message.subject), ["bounce.late"]);
      });
    });

    describe("subscribe", () => {
      it("subscribe: * stands for one token, > for one or more, and all others for themselves", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const patterns = [
          "a",
          "a.b",
          "a.*",
          "*.b",
          "*",
          "*.*",
          "a.>",
          ">",
          "a.*.c",
          "*.b.>",
          "a*",
          "a.b*",
          "A.b",
          "你好.*",
        ];
        const got = new Map<string, string[]>();
        for (const pattern of patterns) {
          const subjects: string[] = [];
          got.set(pattern, subjects);
          bob.subscribe(pattern, {}, (message) => subjects.push(message.subject));
        }
        await bob.flush();
        const subjects = ["a", "b", "a.b", "a.c", "b.b", "a.b.c", "a.x.c", "x.b.c.d", "a*", "A.b", "你好.wörld"];
        for (const subject of subjects) alice.publish(subject, "");
        await eventually("all messages", () => got.get(">")!.length === subjects.length);
        assertEquals(Object.fromEntries(got), {
          "a": ["a"],
          "a.b": ["a.b"],
          "a.*": ["a.b", "a.c"],
          "*.b": ["a.b", "b.b", "A.b"],
          "*": ["a", "b", "a*"],
          "*.*": ["a.b", "a.c", "b.b", "A.b", "你好.wörld"],
          "a.>": ["a.b", "a.c", "a.b.c", "a.x.c"],
          ">": subjects,
          "a.*.c": ["a.b.c", "a.x.c"],
          "*.b.>": ["a.b.c", "x.b.c.d"],
          "a*": ["a*"],
          "a.b*": [],
          "A.b": ["A.b"],
          "你好.*": ["你好.wörld"],
        });
      });

      it("subscribe: a subject with empty tokens, spaces or > before the end, or such a queue, is a TypeError", async () => {
        const alice = await connect();
        for (const subject of ["", ".", ".a", "a.", "a..b", "a b", "a\n", "a.>.b", ">.a"]) {
          assertThrows(() => alice.subscribe(subject, {}, () => {}), TypeError, JSON.stringify(subject));
        }
        for (const queue of ["", "a b", "\r\n"]) {
          assertThrows(() => alice.subscribe("a", { queue }, () => {}), TypeError, JSON.stringify(queue));
        }
      });

      it("subscribe: two subscriptions of one transport to one subject each get every message", async () => {
        const { alice, bob, got } = await pair("twice");
        const again = await collect(bob, "twice");
        alice.publish("twice", "");
        await Promise.all([arrive(got, 1), arrive(again, 1)]);
        assertEquals([got.length, again.length], [1, 1]);
      });

      it("subscribe: each message goes to one member of a queue, and all members get some", async () => {
        const [alice, ...members] = await Promise.all([connect(), connect(), connect(), connect()]);
        const shares = await Promise.all(members.map((member) => collect(member, "work", undefined, "workers")));
        const tap = await collect(alice, "work");
        for (let i = 0; i < 300; i++) alice.publish("work", String(i));
        const taken = () => shares.flat();
        await eventually("300 messages", () => taken().length >= 300 && tap.length >= 300);
        assertEquals(taken().map(text).map(Number).sort((a, b) => a - b), sequence(300, (i) => i));
        for (const share of shares) {
          assert(share.length > 0, "a member got nothing");
          const numbers = share.map(text).map(Number);
          assertEquals(numbers, numbers.toSorted((a, b) => a - b));
        }
      });

      it("subscribe: every queue gets each message, over different patterns of one queue once", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const red = [await collect(bob, "work.*", undefined, "red"), await collect(bob, "work.a", undefined, "red")];
        const blue = await collect(bob, "work.>", undefined, "blue");
        for (let i = 0; i < 50; i++) alice.publish("work.a", "");
        await eventually("50 for each queue", () => red.flat().length >= 50 && blue.length >= 50);
        assertEquals([red.flat().length, blue.length], [50, 50]);
      });

      it("subscribe: a callback that throws gets the next message, and so do all others", async () => {
        const { alice, bob, got } = await pair("throws");
        const thrower = await collect(bob, "throws", () => {
          throw new Error("thrown by a test");
        });
        const late = await collect(bob, "throws");
        alice.publish("throws", "1");
        alice.publish("throws", "2");
        await Promise.all([arrive(got, 2), arrive(thrower, 2), arrive(late, 2)]);
        assertEquals([got, thrower, late].map((messages) => messages.map(text)), [["1", "2"], ["1", "2"], ["1", "2"]]);
      });

      it("subscribe: a callback may publish, subscribe and close its own subscription", async () => {
        const { alice, bob, got } = await pair("chain.>");
        const subscription = bob.subscribe("start", {}, () => {
          subscription.close();
          bob.subscribe("chain.*", {}, () => {});
          bob.publish("chain.done", "");
        });
        await bob.flush();
        alice.publish("start", "");
        alice.publish("start", "");
        alice.publish("chain.end", "");
        await arrive(got, 2);
        await bob.flush();
        assertEquals(got.filter((message) => message.subject === "chain.done").length, 1);
      });
    });

    describe("Subscription", () => {
      it("close: nothing is delivered afterwards, of what was on its way neither; twice is once", async () => {
        const { alice, bob, got } = await pair("ends");
        const closed: string[] = [];
        const subscription = bob.subscribe("ends", {}, (message) => {
          closed.push(text(message));
          subscription.close();
          subscription.close();
        });
        await bob.flush();
        for (const data of ["1", "2", "3"]) alice.publish("ends", data);
        await arrive(got, 3);
        assertEquals(closed, ["1"]);
      });

      it("drain: resolves when what was taken has been delivered, and nothing comes after", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const drained: string[] = [];
        const subscription = bob.subscribe("drained", {}, (message) => drained.push(text(message)));
        await bob.flush();
        for (let i = 0; i < 100; i++) alice.publish("drained", String(i));
        await alice.flush();
        await subscription.drain();
        assertEquals(drained, sequence(100, String));
        const end = await collect(bob, "end");
        alice.publish("drained", "late");
        alice.publish("end", "");
        await arrive(end, 1);
        assertEquals(drained.length, 100);
      });

      it("drain: leaves the other members of its queue to take the messages", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const leaving = bob.subscribe("work", { queue: "workers" }, () => {});
        const staying = await collect(bob, "work", undefined, "workers");
        await leaving.drain();
        for (let i = 0; i < 20; i++) alice.publish("work", "");
        await arrive(staying, 20);
      });
    });

    describe("connection", () => {
      it("status: starts connected in generation 1, on one server for all, with the network's clock", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        assertEquals([alice.status.state, alice.status.generation], ["connected", 1]);
        assert(alice.server.id !== "");
        assertEquals(alice.server.id, bob.server.id);
        assertEquals(typeof alice.clock.now(), "number");
        assert(alice.random() < 1);
        assert(alice.maxPayload >= 1_024);
      });

      it("flush: what was subscribed before gets what others publish afterwards", async () => {
        const [alice, bob] = await Promise.all([connect(), connect()]);
        const got: TransportMessage[] = [];
        bob.subscribe("flushed", {}, (message) => got.push(message));
        await bob.flush();
        alice.publish("flushed", "");
        await arrive(got, 1);
      });

      it("status: a cut is disconnected, a reconnect the next generation, and each is reported after the change", async () => {
        const alice = await connect();
        const told: TransportStatus[] = [];
        const seen: TransportStatus[] = [];
        alice.onStatus((status) => {
          told.push(status);
          seen.push(alice.status);
        });
        const unwanted: TransportStatus[] = [];
        const stop = alice.onStatus((status) => unwanted.push(status));
        stop();
        await network.cut(alice);
        assertEquals(alice.status.state, "disconnected");
        await network.restore(alice);
        assertEquals([alice.status.state, alice.status.generation], ["connected", 2]);
        await alice.close();
        assertEquals(alice.status.state, "closed");
        await eventually("the listener's third call", () => told.length === 3);
        assertEquals(told.map((status) => status.state), ["disconnected", "connected", "closed"]);
        assertEquals(seen.map((status) => status.state), ["disconnected", "connected", "closed"]);
        assertEquals(told.map((status) => status.generation), [1, 2, 2]);
        assertEquals(alice.status.error, undefined);
        assertEquals(unwanted, []);
      });

      it("cut: the subscriptions of a transport that is cut count as not there", async () => {
        const { alice, bob } = await pair("target");
        const bounced = await collect(alice, "bounce");
        await network.cut(bob);
        await eventually("a bounce", () => {
          alice.publish("target", "", { reply: "bounce" });
          return bounced.some((message) => message.noResponders);
        });
      });

      it("cut: the others go on as before, and a queue goes to its members that are left", async () => {
        const [alice, bob, carol] = await Promise.all([connect(), connect(), connect()]);
        await collect(bob, "work", undefined, "workers");
        const left = await collect(carol, "work", undefined, "workers");
        const ready = await collect(alice, "ready");
        await network.cut(bob);
        await eventually("the network's notice of the cut", () => {
          alice.publish("work", "probe");
          return left.length > 0;
        });
        carol.publish("ready", "");
        await arrive(ready, 1);
      });

      it("cut: what is sent meanwhile never arrives, what is sent after the reconnect does", async () => {
        const { alice, bob, got } = await pair("cut.>");
        const own = await collect(alice, "from.bob");
        await network.cut(bob);
        const bounced = await collect(alice, "bounce");
        await eventually("the network's notice of the cut", () => {
          alice.publish("cut.probe", "", { reply: "bounce" });
          return bounced.length > 0;
        });
        got.length = 0;
        alice.publish("cut.lost", "");
        await alice.flush();
        await network.restore(bob);
        await bob.flush();
        alice.publish("cut.found", "");
        await arrive(got, 1);
        assertEquals(got.map((message) => message.subject), ["cut.found"]);
        bob.publish("from.bob", "back");
        await arrive(own, 1);
        assertEquals(own.map(text), ["back"]);
      });

      it("cut: subscriptions outlive two reconnects, those made meanwhile and queues too, closed ones stay closed", async () => {
        const { alice, bob, got } = await pair("lives");
        const queued = await collect(bob, "lives", undefined, "workers");
        const closed: TransportMessage[] = [];
        const subscription = bob.subscribe("lives", {}, (message) => closed.push(message));
        await network.cut(bob);
        const meanwhile: TransportMessage[] = [];
        bob.subscribe("lives", {}, (message) => meanwhile.push(message));
        subscription.close();
        await network.restore(bob);
        await network.cut(bob);
        await network.restore(bob);
        assertEquals(bob.status.generation, 3);
        await bob.flush();
        alice.publish("lives", "");
        await Promise.all([arrive(got, 1), arrive(queued, 1), arrive(meanwhile, 1)]);
        await bob.flush();
        assertEquals([got.length, queued.length, meanwhile.length, closed.length], [1, 1, 1, 0]);
      });

      it("flush: is UNAVAILABLE when the connection is lost before", async () => {
        const alice = await connect();
        await network.cut(alice);
        const error = await assertRejects(() => alice.flush(), CatgaError);
        assertEquals(error.code, "UNAVAILABLE");
      });

      it("close: hands over what was published before", async () => {
        const { alice, got } = await pair("last");
        for (let i = 0; i < 100; i++) alice.publish("last", String(i));
        await alice.close();
        await arrive(got, 100);
      });

      it("close: publish, subscribe and flush are CLOSED afterwards; closing twice is closing once", async () => {
        const alice = await connect();
        const told: TransportStatus[] = [];
        alice.onStatus((status) => told.push(status));
        await Promise.all([alice.close(), alice.close()]);
        await alice.close();
        assertEquals(alice.status.state, "closed");
        assertEquals(assertThrows(() => alice.publish("a", ""), CatgaError).code, "CLOSED");
        assertEquals(assertThrows(() => alice.subscribe("a", {}, () => {}), CatgaError).code, "CLOSED");
        assertEquals((await assertRejects(() => alice.flush(), CatgaError)).code, "CLOSED");
        assertEquals(told.map((status) => status.state), ["closed"]);
      });

      it("close: its subscriptions are gone for the others, and may be closed and drained still", async () => {
        const { alice, bob } = await pair("target");
        const subscription = bob.subscribe("target", {}, () => {});
        const bounced = await collect(alice, "bounce");
        await bob.close();
        subscription.close();
        await subscription.drain();
        await eventually("a bounce", () => {
          alice.publish("target", "", { reply: "bounce" });
          return bounced.some((message) => message.noResponders);
        });
      });

      it("close: works while disconnected", async () => {
        const alice = await connect();
        await network.cut(alice);
        await alice.close();
        assertEquals(alice.status.state, "closed");
      });
    });
  });
}

/**
 * Subscribes to a subject, and waits until the network knows the subscription. Returns the list of received messages,
 * which grows; `also` is called with each message first.
 */
async function collect(
  transport: Transport,
  subject: string,
  also?: (message: TransportMessage) => void,
  queue?: string,
): Promise<TransportMessage[]> {
  const got: TransportMessage[] = [];
  transport.subscribe(subject, queue === undefined ? {} : { queue }, (message) => {
    const { subject, reply, headers, noResponders } = message;
    got.push({ subject, data: message.data.slice(), reply, headers, noResponders });
    also?.(message);
  });
  await transport.flush();
  return got;
}

function arrive(messages: readonly TransportMessage[], count: number): Promise<boolean> {
  return eventually(`${count} messages`, () => messages.length >= count);
}

function ended(messages: readonly TransportMessage[]): boolean {
  return messages.some((message) => message.subject.endsWith(".end"));
}

function text(message: TransportMessage): string {
  return new TextDecoder().decode(message.data);
}

function sequence<T>(length: number, make: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => make(i));
}
