/**
 * A client that is paused while it waits for answers, for tests.
 *
 *   … test/processes/paused_client.ts <nats url> <node> <count>
 *
 * Sends to that node `count` queries that are answered after {@link ANSWERED} ms, and as many that never are, all with
 * a timeout of {@link TIMEOUT} ms; prints a line when it has sent them, and one with what came of them.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catga } from "@catga/catga";
import { type LoopGap, LoopGaps } from "./loop_gaps.ts";
import { Hang, Read } from "./node_messages.ts";
import { trueNow } from "./skewed_clock.ts";

/** When the answers come, and how long they are waited for, in ms. */
export const ANSWERED = 500;
export const TIMEOUT = 1_000;

/** What came of a send. */
export interface Settled {
  readonly name: string;
  /** `ok`, or a code. */
  readonly told: string;
  /** When, in ms since 1970, and how long after it was sent, in ms. */
  readonly at: number;
  readonly took: number;
}

/** What such a client prints. */
export type PausedLine =
  | { readonly event: "sent" }
  | { readonly event: "done"; readonly settled: readonly Settled[]; readonly gaps: readonly LoopGap[] };

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [url, node, count] = process.argv.slice(2);
  const gaps: LoopGap[] = [];
  const app = await catga({ nats: url, id: "paused" });
  using loop = new LoopGaps((gap) => gaps.push(gap));
  const options = { node, timeout: TIMEOUT };
  const sent = Array.from({ length: Number(count) }, (_, i) => [
    note("Read", app.send(Read, { entry: `read-${i}`, ms: ANSWERED }, options)),
    note("Hang", app.send(Hang, { entry: `hang-${i}` }, options)),
  ]).flat();
  setTimeout(() => console.log(JSON.stringify({ event: "sent" })), 100); // and the turns in which they leave
  const settled = await Promise.all(sent);
  console.log(JSON.stringify({ event: "done", settled, gaps }));
  await app.drain({ timeout: 0 });

  async function note(
    name: string,
    sending: Promise<{ ok: boolean; error?: { code: string } | undefined }>,
  ): Promise<Settled> {
    const began = performance.now();
    const { ok, error } = await sending;
    loop.beat();
    return { name, told: ok ? "ok" : error!.code, at: trueNow(), took: performance.now() - began };
  }
}
