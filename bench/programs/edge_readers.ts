/**
 * Readers of one tail of an edge, in this process: each reads a response of server-sent events of its own. With the
 * argument `hand` the responses are made by hand, without Catga: what is left is the runtime's.
 */
import process from "node:process";
import { performance } from "node:perf_hooks";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { catga, event, unwrap } from "../../mod.ts";
import { edge } from "../../src/http/mod.ts";
import { answer } from "./answer.ts";

const [, , url, mode] = process.argv;
/** Of responses by hand: what nobody refers to could be collected. */
const opened = new Set<ReadableStreamDefaultController<Uint8Array>>();
const Placed = event<{ order: string; qty: number }>("Placed", { durable: true });
const gateway = await catga({ nats: url, namespace: "edge" });
const writer = await catga({ nats: url, namespace: "edge" });
const handle = mode === "hand"
  ? handler()
  : edge({ placed: Placed }).handler(gateway, { base: "/api", authorize: () => undefined });
/** Bytes of `id: <position>`; events are longer. */
const LONGEST_PLACE = 30;
const FROM = "http://shop.example/api/placed?from=now";

/** Readers that have a place. */
let begun = 0;
/** Events that all readers have got. */
let got = 0;
let all: { readonly until: number; resolve(): void } | undefined;

/** Responses that stay open, each with a place and no event until somebody sends one by its controller. */
function handler(): (request: Request) => Promise<Response> {
  const place = new TextEncoder().encode("id: 1\n\n");
  const headers = { "content-type": "text/event-stream" };
  return () => {
    const start = (to: ReadableStreamDefaultController<Uint8Array>) => {
      to.enqueue(place);
      opened.add(to);
    };
    const body = new ReadableStream<Uint8Array>({ start }, { highWaterMark: 1 });
    return Promise.resolve(new Response(body, { headers }));
  };
}

async function read(): Promise<void> {
  const { body } = await handle(new Request(FROM));
  let isBegun = false;
  for await (const chunk of body!) {
    if (chunk.length > LONGEST_PLACE) {
      if (++got === all?.until) all.resolve();
    } else if (!isBegun && chunk[0] === "i".charCodeAt(0)) {
      isBegun = true; // an id without an event: the tail has its place
      begun++;
    }
  }
}

/** Memory of this process, in bytes, without what can be collected. */
function memory(): { heap: number; resident: number } {
  const { gc } = globalThis as { gc?: () => void }; // of V8, where the bench asks for it
  const { Bun } = globalThis as { Bun?: { gc(force: boolean): void } };
  for (let i = 0; i < 3; i++) Bun === undefined ? gc?.() : Bun.gc(true);
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, resident: rss };
}

let readers = 0;
let failed: unknown;

answer({
  /** Opens readers, 50 at a time; gives the memory of each. */
  async open({ count }: { count: number }) {
    const before = memory();
    for (let n = 0; n < count; n++) {
      read().catch((error) => failed ??= error);
      if (n % 50 === 49) await new Promise((resolve) => setTimeout(resolve));
    }
    readers += count;
    while (begun < readers) {
      if (failed !== undefined) throw failed;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const after = memory();
    return { heap: (after.heap - before.heap) / count, resident: (after.resident - before.resident) / count };
  },
  /** Publishes an event; gives the ms until all readers have it. */
  async reach() {
    const { promise, resolve } = Promise.withResolvers<void>();
    all = { until: got + readers, resolve };
    const start = performance.now();
    unwrap(await writer.publish(Placed, { order: "tea", qty: got }));
    await promise;
    return performance.now() - start;
  },
  /** The consumers on the server that this process reads the log by. */
  async consumers() {
    const connection = await connect({ servers: url });
    try {
      const manager = await jetstreamManager(connection);
      let count = 0;
      for await (const { config: { name } } of manager.streams.list()) {
        for await (const { config } of manager.consumers.list(name)) {
          if (`${config.filter_subject ?? config.filter_subjects}`.includes("Placed")) count++;
        }
      }
      return count;
    } finally {
      await connection.close();
    }
  },
});
