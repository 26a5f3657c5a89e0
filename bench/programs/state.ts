/**
 * What nodes share, and the operations of JetStream KV that it consists of, done raw: ms for one, one after another.
 * The arguments: the server's address, and the transports of Catga and of nats.js.
 */
import process from "node:process";
import { performance } from "node:perf_hooks";
import { Kvm } from "@nats-io/kv";
import { catga, command, unwrap } from "../../mod.ts";
import { answer } from "./answer.ts";
import { open } from "./connection.ts";

/** As long as what a lock or a claim writes. */
const RECORD = JSON.stringify({
  nonce: "x".repeat(20),
  endpoint: "y".repeat(24),
  node: "z".repeat(10),
  call: "c".repeat(30),
});

const [url, named, raw] = process.argv.slice(2);
const [transport, rawTransport] = [named, raw].map((name) => name === "deno" ? "deno" as const : "node" as const);
const namespace = `state-${transport}`;
const connection = await open({ url, group: namespace, transport: rawTransport });
const kv = await new Kvm(connection).create(`raw-${transport}`, { markerTTL: 1_000, allow_direct: false });
const Charge = command<{ order: string }, { charged: boolean }>("Charge", { idempotent: true });
const app = await catga({ nats: url, namespace, transport, handlers: Charge.handle(() => ({ charged: true })) });

const operations: Record<string, (i: number) => Promise<unknown>> = {
  async "lock and release"(i) {
    await using _lock = await app.lock(`order:${i}`);
  },
  async "KV create, delete"(i) {
    const revision = await kv.create(`order.${i}`, RECORD, "10s");
    await kv.purge(`order.${i}`, { previousSeq: revision, ttl: "1s" });
  },
  async "idempotent command"(i) {
    unwrap(await app.send(Charge, { order: `o${i}` }));
  },
  async "KV create, update"(i) {
    const revision = await kv.create(`charge.${i}`, RECORD, "15s");
    await kv.update(`charge.${i}`, RECORD, revision);
  },
  async "cache set and get"(i) {
    await app.cache.set(`page:${i}`, { text: "tea" });
    await app.cache.get(`page:${i}`);
  },
  async "KV put, get"(i) {
    await kv.put(`page.${i}`, RECORD);
    await kv.get(`page.${i}`);
  },
};

let next = 0;

answer({
  async time({ operation, count }: { operation: string; count: number }) {
    const start = performance.now();
    for (let i = 0; i < count; i++) await operations[operation](next++);
    return (performance.now() - start) / count;
  },
});
