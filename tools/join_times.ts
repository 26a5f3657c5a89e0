/**
 * How long `catga()` takes to a routable node on a running nats-server: apps started one after another, each sent to by
 * one that was there before, and drained.
 *
 *   … tools/join_times.ts <nats url> [how many, 20]
 *
 * Prints one line of JSON.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catga } from "@catga/catga";
import { openNats } from "../src/nats/open.ts";
import { Who } from "../test/processes/node_messages.ts";

/** What the program prints; all in ms. */
export interface JoinTimes {
  /** From the call of `catga` to its answer, in the median. */
  readonly median: number;
  /** All of them, in their order. */
  readonly all: readonly number[];
  /**
   * The same for the one before them, the first of the process, which loads the client of NATS and makes the bucket.
   */
  readonly first: number;
  /** The parts, each measured alone, in the median: the connection, and the bucket's stream, asked for once. */
  readonly connect: number;
  readonly bucket: number;
  /** From the answer of `catga` to the first answer to another node's request. */
  readonly firstAnswer: number;
}

const [url, text = "20"] = process.argv.slice(2);
const count = Number(text);
const all: number[] = [];
const connect: number[] = [];
const bucket: number[] = [];
const firstAnswer: number[] = [];

const start = performance.now();
await using sender = await catga({ nats: url, service: "sender" });
const first = performance.now() - start;
for (let i = 0; i < count; i++) {
  const id = `joiner-${i}`;
  const began = performance.now();
  await using app = await catga({ nats: url, id, handlers: Who.handle(() => ({ id, runtime: "deno" })) });
  const joined = performance.now();
  all.push(joined - began);
  const answer = await sender.send(Who, undefined, { node: app.self.id });
  if (!answer.ok) throw answer.error;
  firstAnswer.push(performance.now() - joined);
}
for (let i = 0; i < count; i++) {
  const began = performance.now();
  const { transport, store } = await openNats(url, {
    name: "join times",
    transport: undefined,
    onError: console.error,
    onNotice() {},
    onForbidden: console.error,
  });
  const connected = performance.now();
  await store.open("catga_default_nodes");
  bucket.push(performance.now() - connected);
  connect.push(connected - began);
  await transport.close();
}
const times: JoinTimes = {
  median: median(all),
  all,
  first,
  connect: median(connect),
  bucket: median(bucket),
  firstAnswer: median(firstAnswer),
};
console.log(JSON.stringify(times));

function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)];
}
