/**
 * A process that takes one lock after the other and works under it, for tests.
 *
 *   … test/processes/lock_node.ts <nats url>[,<nats url>…] <id> '<options as JSON>'
 *
 * Appends what it does to `<folder>/<id>.locks`, a line of JSON each, before it goes on. What it works on is a
 * {@link FencedResource} of the test.
 *
 * @module
 */
import { once } from "node:events";
import { openSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { catga, CatgaError, type Lock } from "@catga/catga";
import { type Skew, skewClock, trueNow } from "./skewed_clock.ts";

/** The options of such a process. */
export interface LockNodeOptions {
  readonly folder: string;
  readonly namespace: string;
  readonly keys: readonly string[];
  /** The port of the resource. */
  readonly resource: number;
  /** Of each lock, in ms. */
  readonly ttl: number;
  /** How long it waits for a lock, in ms. */
  readonly timeout: number;
  readonly replicas?: number;
  /** How wrong its wall clock is; not at all. What it writes down has the right time. */
  readonly skew?: Skew;
  /** How many times it works under a lock at most; 3. */
  readonly rounds?: number;
  /** A planted bug, which a test has to find; none. */
  readonly plant?: LockPlant;
}

/** It works on for seconds and does not look at `lock.signal`; it gives the resource a token that nobody gave it. */
export type LockPlant = "deaf" | "made-up";

/** What such a process writes down; `at` is in ms since 1970. */
export type LockLine =
  | { readonly event: "start"; readonly at: number }
  /** It asks for the lock. */
  | { readonly event: "want"; readonly at: number; readonly key: string }
  /** It has it; it looked, and its signal had not aborted; the same, and it gives it back now. */
  | { readonly event: "enter" | "hold" | "leave"; readonly at: number; readonly key: string; readonly token: number }
  /** Its signal has aborted. */
  | { readonly event: "lost"; readonly at: number; readonly key: string; readonly token: number }
  /** It has given it back. */
  | { readonly event: "free"; readonly at: number; readonly key: string; readonly took: number }
  /** It did not get it, or could not give it back. */
  | {
    readonly event: "failed";
    readonly at: number;
    readonly key: string;
    readonly code: string;
    readonly took: number;
  }
  /** It was not allowed to run since then. */
  | { readonly event: "stall"; readonly at: number; readonly from: number };

/**
 * What it tells the resource: that it waits for a lock, or what it writes, which is answered with `true` or `false`.
 */
export type ResourceLine =
  | { readonly want: string; readonly id: string }
  | { readonly key: string; readonly id: string; readonly token: number };

/**
 * A process that did not run for so long has not looked at anything meanwhile, in ms: less than half of a lock's
 * margin.
 */
export const STALL = 300;
const TICK = 50; // ms

if (import.meta.main) await main();

async function main(): Promise<void> {
  process.on("unhandledRejection", (error) => crash("unhandled rejection", error));
  process.on("uncaughtException", (error) => crash("uncaught exception", error));
  const [urls, id, text] = process.argv.slice(2);
  const { folder, namespace, keys, resource, ttl, timeout, replicas = 1, rounds = 3, skew = {}, plant } = JSON.parse(
    text,
  ) as LockNodeOptions;
  skewClock(skew);
  const file = openSync(join(folder, `${id}.locks`), "a");
  let noted = 0;
  const note = (line: LockLine) => {
    noted = line.at;
    writeSync(file, JSON.stringify(line) + "\n");
  };

  const socket = connect(resource, "127.0.0.1");
  await once(socket, "connect");
  const answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  const tell = (line: ResourceLine) => void socket.write(JSON.stringify(line) + "\n");
  const write = async (key: string, token: number) => {
    tell({ key, id, token });
    return (await answers.next()).value === "true";
  };

  const nats = urls.includes(",") ? { servers: urls.split(","), noRandomize: true } : urls;
  const app = await catga({ nats, id, namespace, replicas, signals: true });
  let ticked = trueNow();
  setInterval(() => {
    const at = trueNow();
    if (at - ticked > STALL + TICK) writeSync(file, JSON.stringify({ event: "stall", at, from: ticked }) + "\n");
    ticked = at;
  }, TICK).unref();
  note({ event: "start", at: trueNow() });
  console.log(JSON.stringify({ event: "ready" }));

  while (await turn(keys[Math.floor(Math.random() * keys.length)]));
  socket.destroy();

  /** Takes a lock and works; `false` when the app stops. */
  async function turn(key: string): Promise<boolean> {
    let began = trueNow();
    note({ event: "want", at: began, key });
    tell({ want: key, id });
    try {
      const lock = await app.lock(key, { ttl, timeout });
      note({ event: "enter", at: trueNow(), key, token: lock.token });
      await work(key, lock);
      began = trueNow();
      await lock.release();
      note({ event: "free", at: trueNow(), key, took: trueNow() - began });
    } catch (error) {
      const code = error instanceof CatgaError ? error.code : String(error);
      note({ event: "failed", at: trueNow(), key, code, took: trueNow() - began });
      if (code === "CLOSED") return false;
      await wait(100);
    }
    return true;
  }

  async function work(key: string, lock: Lock): Promise<void> {
    const { token } = lock;
    const most = plant === "deaf" ? 200 : 3 + Math.floor(Math.random() * (rounds - 2));
    for (let i = 0; i < most; i++) {
      // two writes after one check of the signal: a process that was frozen in the first has not noticed in the second
      for (let j = 0; j < 2; j++) {
        const accepted = await write(key, plant === "made-up" ? token + 1_000_000 : token);
        if (!accepted && plant === undefined) break;
      }
      await wait(20);
      // the timers that were due while it stood still have their turn before anybody looks
      if (trueNow() - noted > STALL) await wait(20);
      if (lock.signal.aborted && plant !== "deaf") return note({ event: "lost", at: trueNow(), key, token });
      note({ event: "hold", at: trueNow(), key, token });
    }
    note({ event: "leave", at: trueNow(), key, token });
  }
}

function crash(what: string, error: unknown): void {
  console.error(what, error);
  process.exit(70);
}
