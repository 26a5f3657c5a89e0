/**
 * What a node of a soak does with shared state until the load ends: takes locks, leads, and handles idempotent
 * commands.
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, CatgaError, type Handler } from "@catga/catga";
import type { LockLine } from "../processes/lock_node.ts";
import { trueNow } from "../processes/skewed_clock.ts";
import { LEADERS, LOCK_TTL, LOCKS, NEVER, never, Once, type OnceNote } from "./shared.ts";

/** Handlers that write down their runs. They may run before `catga` has resolved: `self` returns the endpoint. */
export function onceHandlers(self: Promise<string>, note: (line: OnceNote) => void): Handler[] {
  return [
    Once.handle(async ({ id, ms }, ctx) => {
      const run = `${await self} ${ctx.fence}`;
      note({ event: "begun", at: trueNow(), id, run });
      await wait(ms);
      note({ event: "ended", at: trueNow(), id, run });
      return run;
    }),
  ];
}

/** Handlers that never settle, each at another place. */
export function neverHandlers(app: Promise<Catga>): Handler[] {
  return [
    NEVER.handler.handle(never),
    NEVER.query.handle(never),
    NEVER.behavior.handle(() => 1, { behaviors: [never] }),
    NEVER.load.handle(async ({ n }) => await (await app).cache.getOrSet(`never-${n}`, never)),
    NEVER.input.handle(() => {}),
    NEVER.output.handle(() => 1 as never),
  ];
}

/** How long a lock is waited for, in ms. */
export const LOCK_WAIT = 10_000;
const HOLD = 200; // ms at most
const LEAD = 200; // ms

/** Takes one lock after the other until a moment, in ms since 1970. */
export async function takeLocks(app: Catga, until: number, note: (line: LockLine) => void): Promise<void> {
  while (trueNow() < until) {
    const key = LOCKS[Math.floor(Math.random() * LOCKS.length)];
    let began = trueNow();
    note({ event: "want", at: began, key });
    try {
      const lock = await app.lock(key, { ttl: LOCK_TTL, timeout: LOCK_WAIT });
      const { token, signal } = lock;
      note({ event: "enter", at: trueNow(), key, token });
      const end = trueNow() + HOLD * Math.random();
      while (trueNow() < end && !signal.aborted) {
        await wait(20);
        // the timers that were due while it stood still have their turn before anybody looks
        await wait(0);
        if (!signal.aborted) note({ event: "hold", at: trueNow(), key, token });
      }
      began = trueNow();
      await lock.release();
      note({ event: "free", at: trueNow(), key, took: trueNow() - began });
    } catch (error) {
      const code = error instanceof CatgaError ? error.code : String(error);
      note({ event: "failed", at: trueNow(), key, code, took: trueNow() - began });
      if (code === "CLOSED") return;
    }
    await wait(50 + 200 * Math.random());
  }
}

/** A candidate for every name, which resigns after a short term each time, and for good at `until`. */
export function lead(app: Catga, until: number): void {
  for (const name of LEADERS) {
    const term = app.lead(name, (signal) => wait(LEAD, undefined, { signal }).catch(() => {}), { ttl: LOCK_TTL });
    setTimeout(() => void term.resign(), Math.max(0, until - trueNow())).unref();
  }
}
