/**
 * `deno task bench`, or `bun run bench/bench.ts`: what shared state costs against the same operations of JetStream KV done
 * raw, on a nats-server of its own. Rounds alternate; the figure is the median of the rounds' ratios.
 */
import process from "node:process";
import { performance } from "node:perf_hooks";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { catga, command, unwrap } from "@catga/catga";
import { startNatsServer } from "../scripts/nats_server.ts";

const ROUNDS = 15;
const OPERATIONS = 200;

/** A way to do a thing, and the raw operations that it consists of. */
interface Pair {
  readonly name: string;
  readonly raw: string;
  ours(i: number): Promise<unknown>;
  theirs(i: number): Promise<unknown>;
}

/** As long as what a lock or a claim writes. */
const RECORD = JSON.stringify({
  nonce: "x".repeat(20),
  endpoint: "y".repeat(24),
  node: "z".repeat(10),
  call: "c".repeat(30),
});

const server = await startNatsServer();
const connection = await connect({ servers: server.url });
const kv = await new Kvm(connection).create("raw", { markerTTL: 1_000, allow_direct: false });
const Charge = command<{ order: string }, { charged: boolean }>("Charge", { idempotent: true });
const app = await catga({ nats: server.url, handlers: Charge.handle(() => ({ charged: true })) });

const pairs: Pair[] = [
  {
    name: "lock and release",
    raw: "create, delete",
    async ours(i) {
      await using _lock = await app.lock(`order:${i}`);
    },
    async theirs(i) {
      const revision = await kv.create(`order.${i}`, RECORD, "10s");
      await kv.purge(`order.${i}`, { previousSeq: revision, ttl: "1s" });
    },
  },
  {
    name: "idempotent command",
    raw: "create, update",
    ours: async (i) => unwrap(await app.send(Charge, { order: `o${i}` })),
    async theirs(i) {
      const revision = await kv.create(`charge.${i}`, RECORD, "15s");
      await kv.update(`charge.${i}`, RECORD, revision);
    },
  },
  {
    name: "cache set and get",
    raw: "put, get",
    async ours(i) {
      await app.cache.set(`page:${i}`, { text: "tea" });
      await app.cache.get(`page:${i}`);
    },
    async theirs(i) {
      await kv.put(`page.${i}`, RECORD);
      await kv.get(`page.${i}`);
    },
  },
];

let next = 0;

/** One operation after another; ms for one. */
async function time(operation: (i: number) => Promise<unknown>): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < OPERATIONS; i++) await operation(next++);
  return (performance.now() - start) / OPERATIONS;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

const runtime = process.versions.bun === undefined ? `Deno ${process.versions.deno}` : `Bun ${process.versions.bun}`;
console.log(`${runtime}, nats-server ${connection.info?.version}, ${ROUNDS} rounds of ${OPERATIONS}, one at a time`);
console.log(
  `${"".padEnd(20)}${"raw".padEnd(18)}${"raw ms".padStart(9)}${"Catga ms".padStart(10)}${"ratio".padStart(8)}   ratios`,
);
for (const { name, raw, ours, theirs } of pairs) {
  await time(ours);
  await time(theirs);
  const rounds: { ours: number; theirs: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // who begins changes, for the second finds a warmer server
    const first = round % 2 === 0 ? await time(ours) : 0;
    const other = await time(theirs);
    rounds.push({ ours: first || await time(ours), theirs: other });
  }
  const ratios = rounds.map((round) => round.ours / round.theirs);
  const figures = [
    median(rounds.map((round) => round.theirs)).toFixed(3).padStart(9),
    median(rounds.map((round) => round.ours)).toFixed(3).padStart(10),
    median(ratios).toFixed(2).padStart(8),
  ];
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  console.log(`${name.padEnd(20)}${raw.padEnd(18)}${figures.join("")}   ${spread}`);
}
await app.drain();
await connection.close();
await server.stop();
