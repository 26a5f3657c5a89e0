/**
 * A process that handles an idempotent command, or sends it, for tests.
 *
 *   … test/processes/once_node.ts <nats url>[,<nats url>…] <id> '<options as JSON>'
 *
 * Appends what it ran, and what it got acknowledged, to `<folder>/<id>.once`, a line of JSON each, before it goes on.
 *
 * @module
 */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, command, type Result, type Strategy } from "@catga/catga";
import { LoopGaps } from "./loop_gaps.ts";

/** The options of such a process. */
export interface OnceNodeOptions {
  readonly folder: string;
  readonly namespace: string;
  /** The node handles the command, or sends it when it is told to. */
  readonly role: "handles" | "sends";
  readonly replicas?: number;
  /** How long each run takes, in ms; a random time up to {@link LONGEST}. */
  readonly takes?: number;
}

/** What such a process writes down; `value` names the run of the handler: `<endpoint> <fence>`. */
export type OnceLine =
  | { readonly event: "begun" | "ended"; readonly entry: string; readonly fence: number; readonly value: string }
  | { readonly event: "acknowledged"; readonly entry: string; readonly value: string }
  /** The signal of a run aborted; `at`: when, in ms since 1970. */
  | { readonly event: "aborted"; readonly entry: string; readonly code: string; readonly at: number };

/** Takes `takes` ms, or up to {@link LONGEST}; answers with the name of its run. Its id is its entry. */
export const Once = command<{ entry: string }, string>("Once", { idempotent: true, timeout: 20_000 });
/**
 * Has a process send {@link Once} for these entries, each so many times, {@link AT_ONCE} at once; again after a failure
 * that says so.
 */
export const SendOnce = command<{ entries: string[]; times: number }, OnceReport>("SendOnce", { timeout: 280_000 });

/** What came of a {@link SendOnce}. */
export interface OnceReport {
  readonly acknowledged: number;
  /** Codes of failures after which it was sent again, and how many there were. */
  readonly again: Readonly<Record<string, number>>;
  /** All other failures, and how many sends took longer than they may. */
  readonly failures: readonly string[];
  readonly late: number;
}

const LONGEST = 200; // ms
const TRIES = 30;
/** Sends of a process at once: with thousands, a slow machine answers none of them before its deadline. */
const AT_ONCE = 256;
const AGAIN = ["OUTCOME_UNKNOWN", "UNAVAILABLE", "OVERLOADED"];

if (import.meta.main) await main();

async function main(): Promise<void> {
  process.on("unhandledRejection", (error) => crash("unhandled rejection", error));
  process.on("uncaughtException", (error) => crash("uncaught exception", error));
  const [urls, id, text] = process.argv.slice(2);
  const { folder, namespace, role, replicas = 1, takes } = JSON.parse(text) as OnceNodeOptions;
  const file = openSync(join(folder, `${id}.once`), "a");
  const note = (line: OnceLine) => writeSync(file, JSON.stringify(line) + "\n");
  // messages arrive before catga() has returned
  const started = Promise.withResolvers<Catga>();
  const handles = Once.handle(async ({ entry }, ctx) => {
    const app = await started.promise;
    const fence = ctx.fence!;
    const value = `${app.self.endpoint} ${fence}`;
    note({ event: "begun", entry, fence, value });
    const { signal } = ctx;
    signal.addEventListener(
      "abort",
      () => note({ event: "aborted", entry, code: signal.reason.code, at: Date.now() }),
      { once: true },
    );
    await wait(takes ?? LONGEST * Math.random());
    note({ event: "ended", entry, fence, value });
    return value;
  }, takes === undefined ? { concurrency: 8 } : {});
  const reports = new Map<number, Promise<OnceReport>>();
  const sends = SendOnce.handle(({ entries, times }) => {
    const report = reports.get(times) ?? sendAll(entries, times);
    reports.set(times, report);
    return report;
  });
  const sendAll = async (entries: readonly string[], times: number): Promise<OnceReport> => {
    const app = await started.promise;
    const report = { acknowledged: 0, again: {} as Record<string, number>, failures: [] as string[], late: 0 };
    const all = entries.flatMap((entry) => Array.from({ length: times }, () => entry));
    let stood = 0; // ms in which this process did not run
    using loop = new LoopGaps(({ from, to }) => void (stood += to - from));
    const send = async (entry: string) => {
      for (let tries = 0; tries < TRIES; tries++) {
        const began = performance.now() - stood;
        const { ok, value, error }: Result<string> = await app.send(Once, { entry }, { id: entry, route: anywhere });
        loop.beat();
        if (performance.now() - stood - began > 22_000) report.late++;
        if (ok) {
          note({ event: "acknowledged", entry, value });
          report.acknowledged++;
          return;
        }
        if (!AGAIN.includes(error.code)) return report.failures.push(`${entry}: ${error.code}: ${error.message}`);
        report.again[error.code] = (report.again[error.code] ?? 0) + 1;
        await wait(500 * Math.random());
      }
      report.failures.push(`${entry}: no result after ${TRIES} sends`);
    };
    const left = all.values();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (const entry of left) await send(entry);
    }));
    return report;
  };
  const nats = urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls;
  started.resolve(
    await catga({
      nats,
      id,
      namespace,
      replicas,
      signals: true,
      handlers: [role === "handles" ? handles : sends],
    }),
  );
  console.log(JSON.stringify({ event: "ready" }));
}

const anywhere: Strategy = (candidates) => candidates[Math.floor(Math.random() * candidates.length)];

function crash(what: string, error: unknown): void {
  console.error(what, error);
  process.exit(70);
}
