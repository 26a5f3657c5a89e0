/** Tests of what a codec promises, which run in memory and over NATS. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import {
  type Catga,
  type CatgaOptions,
  command,
  entity,
  event,
  fail,
  type PayloadCodec,
  query,
  stream,
  unwrap,
  workflow,
} from "../../mod.ts";
import { keyCodec } from "../../test/support/key_codec.ts";
import { eventually } from "../../test/support/eventually.ts";

/** Starts nodes of one cluster, and shows everything that they store and send. */
export interface CodecHarness extends AsyncDisposable {
  start(options: CatgaOptions): Promise<Catga>;
  /** Returns each message of the streams and each entry of the buckets: its place, headers and data. */
  stored(): Promise<readonly string[]>;
  /** Returns the messages that nodes have sent to each other; `undefined` if they cannot be seen. */
  sent(): Promise<readonly string[] | undefined>;
}

const SECRET = "SECRET-4711";

export function codecSuite(name: string, options: object, open: () => Promise<CodecHarness>): void {
  for (const isAsync of [false, true]) {
    describe(`a codec, ${isAsync ? "asynchronous" : "synchronous"}: ${name}`, options, () => {
      it("nothing of a payload, result or state is stored or sent in the clear; keys, names and ids are readable", async () => {
        const Ask = query<string, string>("Ask");
        const Once = command<{ text: string }, string>("Once", { idempotent: true });
        const Told = event<string>("Told");
        const Count = stream<string, string>("Count");
        const Placed = event<{ text: string; on: Date }>("Placed", { durable: true, key: () => "the-key" });
        const Queued = command<string>("Queued", { durable: true });
        const Box = entity("Box", { initial: () => "" });
        const Put = command<{ id: string; text: string }, string>("Put", { key: ({ id }) => id });
        const Filled = Box.event<string>("Filled", (_, text) => text);
        const Flow = workflow<string, string>("Flow");
        const Signal = Flow.signal<string>("more");
        const seen: unknown[] = [];
        const handlers = [
          Ask.handle((text) => `${text}!`),
          Once.handle(({ text }) => `${text}?`),
          Told.on((text) => void seen.push(["told", text])),
          Count.handle(function* (text) {
            for (let n = 0; n < 3; n++) yield `${text} ${n}`;
          }),
          Placed.on(({ text, on }) => void seen.push(["placed", text, on]), { name: "list" }),
          Placed.onBatch((batch) => void seen.push(["batch", batch[0].payload.text]), { name: "batches" }),
          Placed.on(({ text }) => fail("NO", "no", { final: text !== "" }), { name: "dead" }),
          Queued.handle((text) => void seen.push(["queued", text])),
          Box.handle(Put, (box, { text }) => {
            box.emit(Filled, text);
            return `put ${text}`;
          }),
          Flow.handle(async (flow, text) => {
            const sent = await flow.send(Ask, text);
            const more = await flow.wait(Signal);
            return `${sent.value} ${more}`;
          }),
        ];
        await using harness = await open();
        const codec = keyCodec([7], isAsync);
        const client = await harness.start({ id: "client", service: "client", codec });
        const server = await harness.start({ id: "server", service: "server", codec, handlers });
        await eventually("the server", () => client.nodes().length === 2);

        assertEquals(unwrap(await client.send(Ask, SECRET)), `${SECRET}!`);
        assertEquals(unwrap(await client.send(Once, { text: SECRET }, { id: "the-id" })), `${SECRET}?`);
        assertEquals(unwrap(await client.send(Once, { text: SECRET }, { id: "the-id" })), `${SECRET}?`);
        assertEquals(await Array.fromAsync(client.stream(Count, SECRET)), [0, 1, 2].map((n) => `${SECRET} ${n}`));
        unwrap(await client.publish(Told, SECRET));
        const on = new Date(0);
        for (let n = 0; n < 20; n++) unwrap(await client.publish(Placed, { text: SECRET, on }, { id: `the-id-${n}` }));
        unwrap(await client.enqueue(Queued, SECRET));
        assertEquals(unwrap(await client.send(Put, { id: "the-box", text: SECRET })), `put ${SECRET}`);
        assertEquals((await client.load(Box, "the-box", { latest: true })).state as string, SECRET);
        const run = unwrap(await client.start(Flow, SECRET, { id: "the-run" }));
        unwrap(await client.tell(Signal, run, SECRET));
        assertEquals(unwrap(await client.result(Flow, run, { timeout: 60_000 })), `${SECRET}! ${SECRET}`);
        await client.cache.set("the-cached", SECRET);
        assertEquals(await server.cache.get("the-cached"), SECRET);
        const { value: followed } = await client.follow(Placed, { from: "start" }).next();
        assertEquals(followed?.payload, { text: SECRET, on });

        const of = (kind: string) => seen.filter((each) => (each as unknown[])[0] === kind);
        await eventually("all to be handled", () => of("placed").length === 20 && of("queued").length === 1);
        await eventually("batches and events", () => of("batch").length > 0 && of("told").length === 1);
        assertEquals(of("placed")[0], ["placed", SECRET, on]);
        const letters = await eventually("the letters", async () => {
          const all = await Array.fromAsync(client.deadLetters());
          return all.length === 1 && all; // one letter: further failed messages wait behind it
        });
        assertEquals((letters as { payload: unknown }[])[0].payload, { text: SECRET, on });

        const [stored, sent] = await Promise.all([harness.stored(), harness.sent()]);
        assert(stored.length > 50 && (sent?.length ?? 51) > 50, `${stored.length} stored, ${sent?.length} sent`);
        const all = [...stored, ...sent ?? []];
        assertEquals(all.filter((text) => text.includes(SECRET)), []);
        for (const name of ["the-key", "the-id", "the-box", "the-run", "the-cached", "Placed", "Queued", "Filled"]) {
          assert(all.some((text) => text.includes(name)), `${name} is not readable`);
        }
        await client.drain();
        await server.drain();
      });

      it("it is given contract and key of what is stored, the same when it decodes", async () => {
        const Placed = event<{ of: string }>("Placed", { durable: true, key: ({ of }) => of });
        const Queued = command<string>("Queued", { durable: true, key: (of) => of });
        const Box = entity("Box", { initial: () => "" });
        const Put = command<string, string>("Put", { key: (id) => id });
        const Filled = Box.event<string>("Filled", (_, text) => text);
        const Flow = workflow<string, string>("Flow");
        const seen: string[] = [];
        const handlers = [
          Placed.on(({ of }) => void seen.push(of), { name: "list" }),
          Placed.on(() => fail("NO", "no", { final: true }), { name: "dead" }),
          Queued.handle((of) => void seen.push(`queued for ${of}`)),
          Box.handle(Put, (box, id) => {
            box.emit(Filled, id);
            return "put";
          }),
          Filled.on(() => fail("NO", "no", { final: true }), { name: "filled" }),
          Flow.handle((flow, text) => flow.step("once", () => `${text}!`)),
        ];
        const given = new Set<string>();
        const encoded: string[] = [];
        /** Writes what it is given in front of the bytes, and compares it with what it is given later. */
        const right = keyCodec([7], isAsync);
        const encoder = new TextEncoder();
        const strange: string[] = [];
        const codec: PayloadCodec = {
          encode: async (bytes, of) => {
            const name = `${of.contract} ${of.key}`;
            given.add(name);
            encoded.push(name);
            const head = encoder.encode(name);
            return new Uint8Array([head.length, ...head, ...await right.encode(bytes, of)]);
          },
          decode: ([length, ...bytes], of) => {
            const [was, is] = [
              new TextDecoder().decode(new Uint8Array(bytes.slice(0, length))),
              `${of.contract} ${of.key}`,
            ];
            if (was !== is) strange.push(`encoded for ${was}, decoded for ${is}`);
            return right.decode(new Uint8Array(bytes.slice(length)), of);
          },
        };
        await using harness = await open();
        const app = await harness.start({ id: "server", service: "server", codec, handlers });
        unwrap(await app.publish(Placed, { of: "ada.l" }));
        unwrap(await app.publish(Placed, { of: "bob" }, { delay: 20, id: "later" }));
        unwrap(await app.enqueue(Queued, "ada.l"));
        unwrap(await app.send(Put, "box-1"));
        assertEquals(unwrap(await app.result(Flow, unwrap(await app.start(Flow, "x", { id: "run-1" })))), "x!");
        unwrap(await app.start(Flow, "y", { id: "run-2", at: new Date(app.clock.now() + 500) }));
        await eventually("the later run", async () => (await app.result(Flow, "run-2")).ok);
        await eventually("all to be handled", () => seen.length === 3);
        await eventually("letters", async () => (await Array.fromAsync(app.deadLetters())).length === 3);
        const ofNothing = () => encoded.filter((of) => of.startsWith("undefined ")).length;
        const before = ofNothing();
        for await (const letter of app.deadLetters()) {
          await letter.replay(letter.contract === "Placed" ? { payload: { of: "ada.l", again: true } } : {});
        }
        await eventually("the replayed letters", async () => {
          const letters = await Array.fromAsync(app.deadLetters());
          const isEdited = letters.some(({ payload }) => (payload as { again?: true }).again);
          return letters.length === 3 && isEdited;
        });
        assertEquals(strange, []);
        assertEquals(ofNothing() - before, 0, "edited payloads that were encoded for no contract");
        for (
          const  of of["Placed ada.l", "Placed bob", "Queued ada.l", "Put box-1", "Box.Filled box-1", "Flow run-1"]
        ) {
          assert(given.has(of), `${of} is none of ${[...given].join(", ")}`);
        }
        // a start for later has no key until the run begins
        const ofRuns = [...given].filter((of) => /Flow|run-/.test(of)).sort();
        assertEquals(ofRuns, ["Flow run-1", "Flow run-2", "Flow undefined"]);
        await app.drain();
      });

      it("what was stored before there was one is read, and after a rotation what another key has sealed", async () => {
        const Placed = event<{ n: number }>("Placed", { durable: true });
        await using harness = await open();
        const publish = async (n: number, codec: PayloadCodec | undefined) => {
          const app = await harness.start({ id: `p${n}`, service: "publisher", codec });
          unwrap(await app.publish(Placed, { n }));
          await app.drain();
        };
        await publish(1, undefined);
        await publish(2, keyCodec([7], isAsync));
        await publish(3, keyCodec([9, 7], isAsync));
        const read = async (codec: PayloadCodec) => {
          const numbers: number[] = [];
          const handlers = Placed.on(({ n }) => void numbers.push(n), { each: "node", from: "start" });
          const app = await harness.start({ id: "reader", service: "reader", codec, handlers });
          await app.drain();
          return numbers;
        };
        assertEquals(await read(keyCodec([9, 7], isAsync)), [1, 2, 3]);
        // without the old key, events that were encoded with it are skipped, with an error in the log
        assertEquals(await read(keyCodec([9], isAsync)), [1, 3]);
      });

      const right = keyCodec([7], isAsync);
      const blindCodecs: Record<string, PayloadCodec> = {
        "does not know its key": keyCodec([9], isAsync),
        "makes something else of it (it was lost, with one line in the log)": {
          encode: right.encode,
          decode: async (bytes, of) => (await right.decode(bytes, of)).map((byte) => byte ^ 3),
        },
        "makes nothing of it (it was lost, too)": { encode: right.encode, decode: () => new Uint8Array() },
      };
      for (const [what, codec] of Object.entries(blindCodecs)) {
        it(`a message is a dead letter where the codec ${what}, and is handled where it is decoded`, async () => {
          await deadThenHandled(codec);
        });
      }

      for (const [what, codec] of Object.entries(blindCodecs)) {
        it(`an entity is UNAVAILABLE where the codec ${what.split(" (")[0]} (its events were passed over)`, async () => {
          const Box = entity<number>("Box", { initial: () => 0 });
          const Filled = Box.event<{ n: number }>("Filled", (sum, { n }) => sum + n);
          const Fill = command<{ id: string; n: number }, number>("Fill", { key: ({ id }) => id });
          const handlers = Box.handle(Fill, (box, { n }) => {
            box.emit(Filled, { n });
            return box.state;
          });
          await using harness = await open();
          const first = await harness.start({ id: "first", codec: right, handlers });
          assertEquals(unwrap(await first.send(Fill, { id: "7", n: 1 }, { id: "one" })), 1);
          await first.drain();
          const blind = await harness.start({ id: "blind", codec, handlers });
          const failed = [
            (await blind.send(Fill, { id: "7", n: 1 }, { id: "one" })).error,
            (await blind.send(Fill, { id: "7", n: 5 }, { id: "two" })).error,
            await blind.load(Box, "7").catch((error) => error),
          ];
          assertEquals(failed.map((error) => error?.code), Array(3).fill("UNAVAILABLE"));
          assert(failed[2].message.includes("the codec of this node cannot decode it"), failed[2].message);
          await blind.drain();
          const seeing = await harness.start({ id: "seeing", codec: right, handlers });
          const { state, version } = await seeing.load(Box, "7");
          assertEquals([state, version], [1, 1]);
          assertEquals(unwrap(await seeing.send(Fill, { id: "7", n: 1 }, { id: "one" })), 1);
          await seeing.drain();
        });
      }

      it("the start of a run whose records cannot be decoded is UNAVAILABLE (it was OUTCOME_UNKNOWN at its deadline)", async () => {
        const Flow = workflow<string, string>("Flow");
        const Go = Flow.signal("go");
        let steps = 0;
        const handlers = Flow.handle(async (flow) => {
          await flow.step("charge", () => void steps++);
          await flow.wait(Go);
          return "done";
        });
        await using harness = await open();
        const first = await harness.start({ id: "first", codec: right, handlers });
        unwrap(await first.start(Flow, "a", { id: "7" }));
        await eventually("the step", () => steps === 1);
        await eventually("the run to wait", async () => {
          const [run] = await Array.fromAsync(first.runs({ id: "7" }));
          return run?.status === "waiting";
        });
        await first.drain();
        const blind = await harness.start({ id: "blind", codec: keyCodec([9], isAsync), handlers });
        const { error } = await blind.start(Flow, "a", { id: "7" });
        assertEquals([error?.code, steps], ["UNAVAILABLE", 1]);
        await blind.drain({ timeout: 500 });
        const seeing = await harness.start({ id: "seeing", codec: right, handlers });
        unwrap(await seeing.tell(Go, "7"));
        assertEquals([unwrap(await seeing.result(Flow, "7")), steps], ["done", 1]);
        await seeing.drain();
      });

      it("tell, cancel, result and runs of a run that a node cannot decode say so; other runs are listed", async () => {
        const Flow = workflow<string, string>("Flow");
        const Go = Flow.signal<string>("go");
        let steps = 0;
        const handlers = Flow.handle(async (flow, text) => {
          await flow.step("charge", () => void steps++);
          return text + await flow.wait(Go);
        });
        const isWaiting = (app: Catga, id: string) =>
          eventually("the run to wait", async () => {
            const [run] = await Array.fromAsync(app.runs({ id }));
            return run?.status === "waiting";
          });
        await using harness = await open();
        const first = await harness.start({ id: "first", codec: right, handlers });
        unwrap(await first.start(Flow, "a", { id: "7" }));
        await isWaiting(first, "7");
        unwrap(await first.start(Flow, "b", { id: "over" }));
        unwrap(await first.tell(Go, "over", "!"));
        assertEquals(unwrap(await first.result(Flow, "over")), "b!");
        await first.drain();
        const blindHandlers = Flow.handle(async (flow) => await flow.wait(Go));
        const blind = await harness.start({ id: "blind", codec: keyCodec([9], isAsync), handlers: blindHandlers });
        unwrap(await blind.start(Flow, "c", { id: "8" }));
        await isWaiting(blind, "8");
        // a store that takes longer than a try on a busy machine is asked again
        const resultError = (run: string) =>
          eventually(`the result of ${run} to be refused`, async () => {
            const { error } = await blind.result(Flow, run, { timeout: 500 });
            return error?.code === "UNAVAILABLE" ? error : undefined;
          });
        const errors = [
          (await blind.tell(Go, "7", "lost?")).error,
          (await blind.cancel(Flow, "7", "by a blind node")).error,
          await resultError("7"),
          (await blind.tell(Go, "over", "lost?")).error,
          await resultError("over"),
        ];
        assertEquals(errors.map((error) => error?.code), Array(5).fill("UNAVAILABLE"));
        for (const error of errors) assertMatch(error!.message, /the codec of this node cannot decode run/);
        const runs = await Array.fromAsync(blind.runs());
        assertEquals(runs.map(({ id, status }) => [id, status]).sort(), [
          ["7", "unreadable"],
          ["8", "waiting"],
          ["over", "unreadable"],
        ]);
        const [unreadable] = await Array.fromAsync(blind.runs({ workflow: "Flow", id: "7" }));
        assertMatch(unreadable.pending[0].error!.message, /cannot decode run 7 of Flow: is its key missing/);
        await assertRejects(() => unreadable.retry(), Error, "cannot decode");
        assertEquals((await Array.fromAsync(blind.runs({ status: "unreadable" }))).length, 2);
        assertEquals((await Array.fromAsync(blind.runs({ status: "waiting" }))).length, 1);
        await blind.drain({ timeout: 500 });
        const seeing = await harness.start({ id: "seeing", codec: keyCodec([7, 9], isAsync), handlers });
        unwrap(await seeing.tell(Go, "7", "?"));
        assertEquals([unwrap(await seeing.result(Flow, "7")), steps], ["a?", 2]);
        await seeing.drain();
      });

      it("a node that cannot decode what a run records does not perform its steps again (it did)", async () => {
        const Flow = workflow<void, string>("Flow");
        const Go = Flow.signal("go");
        const by: string[] = [];
        const handlersOf = (node: string) =>
          Flow.handle(async (flow) => {
            await flow.step("charge", () => void by.push(node));
            await flow.wait(Go);
            return "done";
          });
        await using harness = await open();
        // the run is started before there is a codec, and its step is recorded with a key that the next node lacks
        const starter = await harness.start({ id: "starter", service: "client" });
        unwrap(await starter.start(Flow, undefined, { id: "7" }));
        await starter.drain();
        const first = await harness.start({ id: "first", codec: right, handlers: handlersOf("first") });
        await eventually("the run to wait", async () => {
          const [run] = await Array.fromAsync(first.runs({ id: "7" }));
          return run?.status === "waiting";
        });
        await first.drain();
        const teller = await harness.start({ id: "teller", service: "client", codec: keyCodec([9, 7], isAsync) });
        unwrap(await teller.tell(Go, "7"));
        await teller.drain();
        const blind = await harness.start({
          id: "blind",
          codec: keyCodec([9], isAsync),
          handlers: handlersOf("blind"),
        });
        const { error } = await blind.result(Flow, "7", { timeout: 3_000 });
        assert(error !== undefined, "a node without the key ended the run");
        await blind.drain({ timeout: 500 });
        const seeing = await harness.start({
          id: "seeing",
          codec: keyCodec([7, 9], isAsync),
          handlers: handlersOf("see"),
        });
        assertEquals(unwrap(await seeing.result(Flow, "7")), "done");
        assertEquals(by, ["first"]);
        await seeing.drain();
      });

      it("a codec that never settles ends calls of the cache at the app's timeout, and a drain (they waited for ever)", async () => {
        const right = keyCodec([7], isAsync);
        let hangs = false;
        const hanging: PayloadCodec = {
          encode: (bytes, of) => hangs ? new Promise(() => {}) : right.encode(bytes, of),
          decode: (bytes, of) => hangs ? new Promise(() => {}) : right.decode(bytes, of),
        };
        const Ask = query<string, string>("Ask");
        await using harness = await open();
        const other = await harness.start({
          id: "other",
          service: "other",
          codec: right,
          handlers: Ask.handle((s) => s),
        });
        const app = await harness.start({ id: "hangs", service: "client", codec: hanging, timeout: 1_000 });
        await eventually("the other node", () => app.nodes().length === 2);
        await app.cache.set("k", "v");
        hangs = true;
        const failures: { readonly code?: string; readonly message?: string }[] = await Promise.all([
          app.cache.set("k", "w").catch((error) => error),
          app.cache.get("k").catch((error) => error),
          app.send(Ask, "a").then(({ error }) => error!),
        ]);
        assertMatch(failures[0].message!, /the codec has not encoded a payload within 1000 ms/);
        assertMatch(failures[1].message!, /the codec of this node cannot decode the entry under "k"/);
        assertEquals(failures.map((error) => error?.code), ["TIMEOUT", "UNAVAILABLE", "TIMEOUT"]);
        void app.publish(event<string>("Told"), "x");
        void app.cache.set("k", "x").catch(() => {});
        await app.drain({ timeout: 200 });
        assertEquals(await other.cache.get<string>("k"), "v");
        await other.drain();
      });

      const deadThenHandled = async (codec: PayloadCodec) => {
        const Placed = event<{ n: number }>("Placed", { durable: true });
        const numbers: number[] = [];
        const handlers = Placed.on(({ n }) => void numbers.push(n), { name: "list", from: "start" });
        await using harness = await open();
        const publisher = await harness.start({ id: "p", service: "publisher", codec: right });
        unwrap(await publisher.publish(Placed, { n: 1 }));
        await publisher.drain();
        const blind = await harness.start({ id: "blind", service: "s", codec, handlers });
        const letters = () => Array.fromAsync(blind.deadLetters());
        await eventually("a letter", async () => (await letters()).length === 1);
        const [{ error }] = await letters();
        assertMatch(error.message, /cannot be read: it is encrypted, and this node has no codec, or not its key$/);
        await blind.drain();
        assertEquals(numbers, []);
        const seeing = await harness.start({ id: "seeing", service: "s", codec: keyCodec([9, 7], isAsync), handlers });
        for await (const letter of seeing.deadLetters()) {
          assertEquals(letter.payload, { n: 1 });
          await letter.replay();
        }
        await eventually("it to be handled", () => numbers.length === 1);
        await seeing.drain();
      };
    });
  }
}
