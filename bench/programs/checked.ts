/**
 * What `catga check` reads: a program that stores events, each in a message of its own, and open runs; and another one
 * that reads them by `consume()` of nats.js, and passes them through schemas and handlers as the command does.
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { z } from "zod";
import { catga, event, unwrap, workflow } from "../../mod.ts";
import { checkRuns } from "../../src/check/half_done.ts";
import { programOf } from "../../src/check/program.ts";
import { checkStored } from "../../src/check/stored.ts";
import { groupText, itemText } from "../../src/log/format/group.ts";
import { categorySubject } from "../../src/log/format/names.ts";
import { streamOptions } from "../../src/log/format/streams.ts";
import { type StreamKind, streamName } from "../../src/log/format/stream_name.ts";
import { NatsEventLog } from "../../src/nats/log/log_stream.ts";
import { openNats } from "../../src/nats/open.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { answer } from "./answer.ts";
import type { RemoteOptions } from "./remote.ts";

const Sold = event("Sold", { durable: true, input: z.object({ seat: z.string(), price: z.number() }) });
const Order = workflow<{ seat: string }>("Order");
const Paid = Order.signal("Paid");
const handlers = [
  Sold.on(() => {}, { name: "billing", from: "start" }),
  Order.handle(async (flow) => {
    await flow.step("reserve", () => "A1");
    await flow.step("charge", () => "receipt");
    await flow.wait(Paid);
  }),
];

const { url, group } = JSON.parse(process.argv[2]) as RemoteOptions;
const subject = categorySubject(group, Sold.name);
const connection = await connect({ servers: url });

/** A part of what is stored, by numbers. */
interface Part {
  readonly from: number;
  readonly to: number;
}

answer({
  /** Makes the streams, and starts these runs, which then wait. */
  async runs({ from, to }: Part): Promise<void> {
    await using app = await catga({ nats: connection, namespace: group, handlers: handlers[1] });
    unwrap(await app.publish(Sold, { seat: "A0", price: 0 }));
    for (let at = from; at < to; at += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, to - at) }, (_, n) => `run-${at + n}`);
      await Promise.all(some.map(async (id) => unwrap(await app.start(Order, { seat: "A1" }, { id }))));
    }
  },

  /** Stores these events. */
  async events({ from, to }: Part): Promise<void> {
    const js = jetstream(connection);
    const head = { endpoint: "bench.bench", sentAt: Date.now(), keep: undefined, schedule: undefined };
    for (let at = from; at < to; at += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, to - at) }, (_, n) => at + n);
      await Promise.all(some.map((n) => {
        const text = `{"seat":"A${n}","price":${n}}`;
        const item = itemText({ text, key: undefined, id: undefined, meta: undefined });
        return js.publish(subject, groupText({ ...head, first: n }, item), { timeout: 60_000 });
      }));
    }
  },

  /** Reads them by `consume()`; gives messages a second. */
  async consume({ events }: { events: number }): Promise<number> {
    const stream = streamName(group, "log");
    const name = `bench-${Math.random().toString(36).slice(2)}`;
    const manager = await jetstreamManager(connection);
    await manager.consumers.add(stream, { name, ack_policy: AckPolicy.None, filter_subject: subject });
    const consumer = await jetstream(connection).consumers.get(stream, name);
    const start = performance.now();
    let read = 0;
    for await (const _ of await consumer.consume({ max_messages: MAX_IN_HAND })) if (++read >= events) break;
    return read / (performance.now() - start) * 1_000;
  },

  /** Checks all that is stored: messages a second, and runs a second. */
  async check({ events, runs }: { events: number; runs: number }): Promise<{ events: number; runs: number }> {
    const program = programOf(handlers);
    const { transport } = await openNats({ servers: url }, {
      ...{ name: "bench", transport: undefined, passive: true },
      ...{ onError: console.error, onForbidden: console.error, onNotice: console.error },
    });
    const logs = new NatsEventLog(transport);
    const open = (kind: StreamKind) => logs.open(streamName(group, kind), streamOptions(group, kind, 1));
    const [log, entities] = [await open("log"), await open("entities")];
    const shared = { namespace: group, entities, clock: systemClock, progress: () => {} };
    let start = performance.now();
    const stored = { subscriptions: undefined, snapshots: undefined, idempotency: undefined, stored: [] };
    const found = [...await checkStored(program, { ...shared, ...stored, log, service: undefined })];
    const rate = events / (performance.now() - start) * 1_000;
    start = performance.now();
    found.push(...await checkRuns(program, { ...shared, random: transport.random }));
    const replayed = runs / (performance.now() - start) * 1_000;
    await transport.close();
    if (found.length > 0) throw new Error(`what is stored was refused: ${JSON.stringify(found[0])}`);
    return { events: rate, runs: replayed };
  },
});

/** Publishes and starts that are under way at once. */
const AT_ONCE = 500;
/** Messages that `consume()` has in hand at most. */
const MAX_IN_HAND = 2_000;
