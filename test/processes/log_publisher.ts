/**
 * A process that publishes to the log, for tests.
 *
 *   … test/processes/log_publisher.ts <nats url>[,<nats url>…] <id> '<options as JSON>'
 *
 * Writes each intent, and what came of it, to the file of its test, see `log_messages.ts`. It publishes `count`
 * messages, or until SIGTERM; then it waits for what is under way, prints `{"event":"done",…}`, and ends.
 *
 * @module
 */
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, CatgaError, type CatgaOptions } from "@catga/catga";
import { LogBacklog } from "./log_backlog.ts";
import { openLogFile } from "./log_file.ts";
import { type Category, contracts, type Deed, isKeyed } from "./log_messages.ts";
import { type Skew, skewClock, trueNow } from "./skewed_clock.ts";

/** The options of such a process. */
export interface LogPublisherOptions extends Pick<CatgaOptions, "namespace" | "replicas"> {
  readonly folder: string;
  /** What it publishes, in turn; `Happened`. */
  readonly categories?: readonly Category[];
  /** How many messages; until SIGTERM. */
  readonly count?: number;
  /** How many nodes it is, each of which publishes so many; 1. */
  readonly apps?: number;
  /** Under how many keys, which no other publisher has; 8. */
  readonly keys?: number;
  /** How many a second, fewer while thousands wait to be handled; as fast as they are acknowledged. */
  readonly pace?: number;
  /** How many are under way at most; 64. */
  readonly atOnce?: number;
  /** True if each has an id of its own, and so is a message of its own in the stream. Default: `false`. */
  readonly ids?: boolean;
  /** How long each may take, in ms; 5,000. */
  readonly timeout?: number;
  /** What the handlers of all do, or of every so many. */
  readonly deed?: Deed;
  readonly deedEvery?: number;
  readonly skew?: Skew;
}

/** A line that such a process prints. */
export type LogPublisherLine =
  | { readonly event: "ready" }
  | {
    readonly event: "done";
    readonly ok: number;
    readonly failed: number;
    readonly unknown: number;
    /** The longest that one took, in ms. */
    readonly slowest: number;
  };

/** How long a busy machine may take to start them all, in ms. */
const START_LIMIT = 240_000;

if (import.meta.main) await main();

async function main(): Promise<void> {
  process.on("unhandledRejection", (error) => crash("unhandled rejection", error));
  process.on("uncaughtException", (error) => crash("uncaught exception", error));
  const [urls, id, text] = process.argv.slice(2);
  const given = JSON.parse(text) as LogPublisherOptions;
  const { folder, categories = ["Happened"], count = Infinity, keys = 8, pace, ids: own = false, skew = {} } = given;
  const { atOnce = 64, apps = 1, timeout = 5_000, deed, deedEvery = 1, namespace = "default", replicas = 1 } = given;
  skewClock(skew);
  const note = openLogFile(folder);
  const backlog = pace === undefined ? undefined : new LogBacklog(folder);
  const made = contracts();
  let ended = false;
  process.on("SIGTERM", () => ended = true);
  const nats = urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls;
  const ids = Array.from({ length: apps }, (_, i) => apps === 1 ? id : `${id}-${i}`);
  const started = await Promise.all(
    ids.map((id) => start({ nats, id, service: "publisher", namespace, replicas, signals: false })),
  );
  const tell = (line: LogPublisherLine) => console.log(JSON.stringify(line));
  tell({ event: "ready" });

  const sums = { ok: 0, failed: 0, unknown: 0, slowest: 0 };
  const publish = async (app: Catga, n: number) => {
    const { id } = app.self;
    const category = categories[n % categories.length];
    const entry = `${id}-${n}`;
    const key = `${id}.${Math.floor(n / categories.length) % keys}`;
    const task = { entry, key, seq: n, ...(deed === undefined || n % deedEvery > 0 ? {} : { deed }) };
    const options = { timeout, ...(own ? { id: entry } : {}) };
    const at = trueNow();
    backlog?.add(entry);
    note({ event: "intent", entry, by: id, category, ...(isKeyed(category) ? { key } : {}), seq: n, at });
    const { error } = category === "Job" || category === "Charge"
      ? await app.enqueue(made[category], task, options)
      : await app.publish(made[category], task, options);
    const came = error === undefined ? "ok" : error.code === "OUTCOME_UNKNOWN" ? "unknown" : "failed";
    note({ event: came, entry, ...(error === undefined ? {} : { code: error.code }), at: trueNow() });
    sums[came]++;
    sums.slowest = Math.max(sums.slowest, trueNow() - at);
    // whoever is refused at once does not try again at once
    if (error !== undefined) await wait(20);
  };

  const began = performance.now();
  await Promise.all(started.map(async (app) => {
    const under = new Set<Promise<void>>();
    for (let n = 0; n < count && !ended; n++) {
      const one: Promise<void> = publish(app, n).finally(() => under.delete(one));
      under.add(one);
      const ahead = pace === undefined ? 0 : began + (1_000 * (n + 1)) / pace - performance.now();
      if (ahead > 1) await wait(ahead);
      while (under.size >= atOnce) await Promise.race(under);
      await backlog?.room(() => ended);
    }
    await Promise.all(under);
    await app.drain();
  }));
  tell({ event: "done", ...sums });
  process.exit(0);
}

/** Starts a node. A server that is asked by many at once may answer too late: then once more. */
async function start(options: CatgaOptions): Promise<Catga> {
  for (const late = performance.now() + START_LIMIT;;) {
    try {
      return await catga(options);
    } catch (error) {
      if (!(error instanceof CatgaError) || !error.retryable || performance.now() > late) throw error;
    }
  }
}

function crash(what: string, error: unknown): void {
  console.error(what, error);
  process.exit(70);
}
