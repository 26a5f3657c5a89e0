import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { EventFollower, FollowedEvent } from "../contract/calls/durable_messages.ts";
import type { StoreHost } from "../contract/nodes/attached_store.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { ContractShapes } from "../contract/schemas/shape.ts";
import { CatgaError } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { type AppClock, delay } from "../ports/clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { openSqlite } from "../../test/support/sql_databases.ts";
import { sqlStore } from "./mod.ts";
import { Out } from "./out.ts";
import { Projection } from "./projection.ts";
import { tableNames } from "./tables.ts";
import { Transactions } from "./transactions.ts";

/** A log with the events at these positions, and other messages up to `end`; the one at `unreadable` is refused. */
function logWith(state: { events: number[]; end: number; unreadable?: number }, clock: VirtualClock) {
  const follow = (_: AnyContract, { from }: { from?: unknown }): EventFollower<unknown> => {
    let position = from === "start" ? 0 : Number(from);
    const next = async (): Promise<IteratorResult<FollowedEvent<unknown>, undefined>> => {
      for (;;) {
        const found = state.events.find((each) => each > position);
        if (found !== undefined) {
          if (found === state.unreadable) throw new CatgaError("INVALID_MESSAGE", `position ${found}`);
          position = found;
          return { done: false, value: { position } as FollowedEvent<unknown> };
        }
        await delay(clock, 1);
        if (!state.events.some((each) => each > position)) position = Math.max(position, state.end);
      }
    };
    return {
      get position() {
        return position;
      },
      ...{ next, return: () => Promise.resolve({ done: true, value: undefined }) },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  };
  return follow;
}

describe("a table that follows the log", () => {
  async function keeping(state: Parameters<typeof logWith>[0]) {
    const opened = await openSqlite();
    const { db } = opened;
    await sqlStore(db).migrate();
    const names = tableNames("sqlite", "catga");
    const clock = VirtualClock.ofTicks();
    const applied: number[] = [];
    const faults: string[] = [];
    const tools = { clock, random: () => 0 };
    const transactions = new Transactions({
      ...{ db, names, schema: "catga", ordered: true, timeout: 1_000, tools: () => tools },
      ...{ onCommit() {}, onBegin: () => undefined },
    });
    const run: typeof transactions.run = async (...args) => {
      await new Promise((resolve) => setTimeout(resolve)); // as over a network: the follower goes on meanwhile
      return await transactions.run(...args);
    };
    const projection = new Projection<unknown>({
      ...{
        name: "t",
        event: { name: "E" } as AnyContract,
        max: 1,
        db,
        names,
        makeOut: () => new Out(new ContractShapes(), tools.random),
      },
      apply: (events) => void applied.push(...events.map(({ position }) => position)),
      transactions: Object.assign(Object.create(transactions), { run }),
    });
    const fault = (_: string, error: unknown) => void faults.push((error as Error).message);
    const host = { clock: clock as unknown as AppClock, follow: logWith(state, clock), fault };
    const over = new AbortController();
    const kept = projection.keep(host as Partial<StoreHost> as StoreHost, over.signal);
    const end = async () => {
      over.abort();
      state.events.push(Infinity); // it waits no longer
      await clock.until(kept);
      await opened[Symbol.asyncDispose]();
    };
    return { clock, applied, faults, projection, end };
  }

  it("moves its position on while no event comes, so that it is never older than the log keeps events", async () => {
    const state = { events: [3], end: 40 };
    const { clock, applied, projection, end } = await keeping(state);
    await clock.until(delay(clock, 119_000), 120_000);
    assertEquals([applied, await projection.position()], [[3], 40]);
    state.events.push(50);
    await clock.until(delay(clock, 5_000));
    assertEquals([applied, await projection.position()], [[3, 50], 50]);
    await end();
  });

  it("applies what comes before an event that it cannot read, and reports that one as it tries again", async () => {
    const { applied, faults, projection, end } = await keeping({ events: [3, 4], end: 4, unreadable: 4 });
    await eventually("the error", () => faults.length > 0);
    assertEquals([applied, await projection.position(), faults[0]], [[3], 3, "position 4"]);
    await end();
  });
});
