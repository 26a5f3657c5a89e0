/**
 * A process that handles messages of the log, for tests.
 *
 *   … test/processes/log_node.ts <nats url>[,<nats url>…] <id> '<options as JSON>'
 *
 * Writes each run to the file of its test before it begins and before it answers, see `log_messages.ts`. Of several
 * servers it takes the first that is there.
 *
 * @module
 */
import { closeSync, existsSync, openSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type Batch, type Catga, catga, type CatgaOptions, type Context, fail } from "@catga/catga";
import type { Limit, SubscriptionOptions } from "../../src/contract/declaration/handler.ts";
import { LoopGaps } from "./loop_gaps.ts";
import { openLogFile } from "./log_file.ts";
import { type Category, contracts, isKeyed, type Task } from "./log_messages.ts";
import { type Skew, skewClock, trueNow } from "./skewed_clock.ts";

/** The options of such a process. */
export interface LogNodeOptions
  extends Pick<CatgaOptions, "namespace" | "service" | "replicas" | "timeout" | "heartbeat" | "concurrency"> {
  readonly folder: string;
  /** What it handles. */
  readonly handles: readonly LogHandler[];
  /** Of its contracts; 1. */
  readonly version?: 1 | 2;
  /** True if its debug lines are not printed. Default: `true`. */
  readonly quiet?: boolean;
  /** How wrong its wall clock is; not at all. */
  readonly skew?: Skew;
}

/** A handler, and its subscription. */
export interface LogHandler extends
  Pick<
    SubscriptionOptions,
    "name" | "from" | "each" | "retry" | "timeout" | "concurrency"
  > {
  readonly category: Category;
  /** It takes batches: each member is begun when the one before it has ended. */
  readonly batch?: { readonly max: number; readonly within: number };
  /** Tenants share it: those whose names the messages' begin with, up to a dash. */
  readonly fair?: boolean;
  /** So many run at once over all nodes: of each key, of each tenant, or of all. */
  readonly limit?: Pick<Limit, "name" | "running" | "over"> & { readonly by?: "key" | "tenant" | "all" };
  /** Messages whose key ends with this text count as ten minutes older. */
  readonly ahead?: string;
}

/** What a handler uses of its message. */
type Message = Pick<Context, "id" | "attempt" | "position" | "fence" | "signal">;

/** A line that such a process prints. */
export type LogNodeLine =
  | { readonly event: "ready"; readonly id: string; readonly endpoint: string; readonly took: number }
  | { readonly event: "closed"; readonly error?: string };

/** What a handler's lines call its subscription. */
export function subscriptionOf({ category, name = category, each }: LogHandler, service: string, node: string): string {
  return each === "node"
    ? `${node}:${name}`
    : category === "Job" || category === "Charge"
    ? name
    : `${service}/${name}`;
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  process.on("unhandledRejection", (error) => crash("unhandled rejection", error));
  process.on("uncaughtException", (error) => crash("uncaught exception", error));
  const [urls, id, text] = process.argv.slice(2);
  const { folder, handles, version, quiet = true, skew = {}, ...options } = JSON.parse(text) as LogNodeOptions;
  skewClock(skew);
  const note = openLogFile(folder);
  const { service = "app" } = options;
  let runs = 0;

  const run = async (category: Category, sub: string, task: Task, ctx: Message) => {
    const { entry, key, seq } = task;
    const deed = task.deed?.in?.includes(sub) ?? true ? task.deed : undefined;
    const { attempt, signal, position = -1, fence = 0 } = ctx;
    const run = `${id}.${process.pid}.${++runs}`;
    const end = (how: "ok" | "failed" | "aborted") => note({ event: "end", run, how, at: trueNow() });
    const about = { entry, category, ...(key !== undefined && isKeyed(category) ? { key } : {}), seq };
    note({ event: "begin", sub, ...about, position, attempt, fence, run, pid: process.pid, at: trueNow() });
    try {
      if (deed?.how === "die" && deed.when === "before" && (deed.always || first(`died-${entry}`))) die();
      if (deed?.how === "slow") await wait(deed.ms, undefined, { signal });
      if (deed?.how === "gate") await opened(deed.file, signal);
      if (deed?.how === "hang") await (deed.stubborn ? new Promise(() => {}) : wait(2 ** 30, undefined, { signal }));
    } catch (error) {
      if (!signal.aborted) throw error;
      end("aborted");
      throw signal.reason;
    }
    if (deed?.how === "fail" && attempt <= deed.times && !(deed.until && existsSync(join(folder, deed.until)))) {
      end("failed");
      return fail("TOLD_TO", `attempt ${attempt} of ${entry}`, deed.final ? { final: true } : {});
    }
    if (deed?.how === "fail" && deed.gate) await opened(deed.gate, signal);
    // the effect of what may die, once for each message id, as a unique key in a database is
    if (deed?.how === "die" && first(`effect-${sub.replace("/", "+")}-${ctx.id}`)) {
      note({ event: "effect", sub, entry, at: trueNow() });
    }
    if (deed?.how === "die" && deed.when === "after" && (deed.always || first(`died-${entry}`))) die();
    end("ok");
    return entry;
  };
  const opened = async (file: string, signal: AbortSignal) => {
    while (!existsSync(join(folder, file))) await wait(2, undefined, { signal });
  };
  const first = (file: string): boolean => {
    try {
      closeSync(openSync(join(folder, file), "wx"));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      return false;
    }
  };
  const die = () => {
    note({ event: "killed", pid: process.pid, at: trueNow() });
    process.kill(process.pid, "SIGKILL");
    // the signal is on its way
    for (;;);
  };

  const made = contracts(version);
  const handlers = handles.map((handler) => {
    const sub = subscriptionOf(handler, service, id);
    const { category, name, from, each, batch, fair, limit, ahead, ...own } = handler;
    const shared = {
      ...own,
      ...(fair && { fair: tenantOf }),
      ...(limit && { limit: limitOf(limit) }),
      ...(ahead && { ahead: ({ key = "" }: Task) => key.endsWith(ahead) ? 600_000 : 0 }),
    };
    const fn = (task: Task, ctx: Context) => run(category, sub, task, ctx);
    if (category === "Job" || category === "Charge") {
      const { timeout: _, ...taken } = shared;
      return made[category].handle(async (task, ctx) => await fn(task, ctx) ?? "", taken);
    }
    if (batch === undefined) return made[category].on(fn, { name, from, each, ...shared });
    const onBatch = async (members: Batch<Task>, ctx: Context) => {
      const held = new Set<string | undefined>();
      for (const member of members) {
        const { payload, id, key, attempt, position } = member;
        if (key !== undefined && held.has(key)) continue;
        const ended = await run(category, sub, payload, {
          id,
          attempt,
          position,
          fence: ctx.fence,
          signal: ctx.signal,
        });
        if (typeof ended !== "object") continue;
        held.add(key);
        members.fail(member, ended.error.code, ended.error.message, { final: ended.error.final });
      }
    };
    return made[category].onBatch(onBatch, { name, from, each, ...shared, ...batch });
  });
  const nats = urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls;
  const began = trueNow();
  const write = (text: string, { error = "" }: Readonly<Record<string, unknown>>) =>
    console.error(new Date(trueNow()).toISOString(), text, `${error}`);
  const logger = { debug: quiet ? () => {} : write, info: write, warn: write, error: write };
  const app: Catga = await catga({ ...options, nats, id, signals: true, handlers, logger });
  // whoever stands still for so long may lose its lease
  new LoopGaps(({ from, to, busy }) => {
    if (to - from > STALL && busy < 0.8 * (to - from)) note({ event: "stalled", pid: process.pid, from, at: to });
  });
  const tell = (line: LogNodeLine) => console.log(JSON.stringify(line));
  tell({ event: "ready", id, endpoint: app.self.endpoint, took: trueNow() - began });
  app.closed.then(() => tell({ event: "closed" }), (error) => tell({ event: "closed", error: `${error}` }));
}

/** The tenant of a task: what its name begins with, up to a dash. */
function tenantOf({ entry }: Task): string {
  return entry.split("-")[0];
}

function limitOf({ by = "key", ...limit }: NonNullable<LogHandler["limit"]>): Limit<Task> {
  if (by === "all") return limit;
  return { ...limit, key: by === "tenant" ? tenantOf : ({ key = "" }) => key };
}

const STALL = 1_000; // ms

function crash(what: string, error: unknown): void {
  console.error(what, error);
  process.exit(70);
}
