/**
 * Many schedules that are due at one moment: the server takes them all in hand at once, and fires one after the other.
 */
import { setTimeout as wait } from "node:timers/promises";
import { assertEquals } from "@std/assert";
import { groupText, itemText } from "../../src/log/format/group.ts";
import { categorySubject, logSubjects, scheduleSubject } from "../../src/log/format/names.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { NatsEventLog } from "../../src/nats/log/log_stream.ts";
import { openTransport } from "../../src/nats/harness_suite.ts";
import type { NatsTransport } from "../../src/nats/connection/transport.ts";
import type { LogStream } from "../../src/ports/event_log.ts";
import { eventually } from "./eventually.ts";
import { logReader } from "./read_log.ts";

/**
 * Schedules of one contract that are made for one moment: their ids are 0 to 239, their payloads `{ n: 0 }` to `{ n:
 * 239 }`.
 */
export const COUNT = 240;
/** Others that are due at the same moment, and fire before them. */
const CROWD = 3_000;

/**
 * Schedules {@link COUNT} messages, and a crowd before them, for one moment, to the ms, which it returns: as a
 * publisher writes them, who cannot hit a ms.
 */
export async function plan(url: string, category: string, replicas = 1): Promise<number> {
  const transport = await openTransport(url);
  try {
    const stream = await openLog(transport, replicas);
    const due = Math.floor(stream.serverTime) + 3_000;
    const make = async (of: string, n: number, payload: unknown) => {
      const head = { endpoint: "test.1", first: n, sentAt: 0, keep: undefined, schedule: { id: `${n}`, due } };
      const item = itemText({ text: JSON.stringify(payload), key: undefined, id: undefined, meta: undefined });
      const schedule = { at: due, target: categorySubject("default", of) };
      const subject = scheduleSubject("default", of, `${n}`);
      await eventually("a schedule to be stored", async () => {
        const options = { timeout: 10_000, schedule, id: subject };
        return (await stream.append(subject, groupText(head, item), options)).type === "stored";
      });
    };
    await Promise.all(Array.from({ length: replicas === 1 ? CROWD : CROWD / 6 }, (_, n) => make("Crowd", n, null)));
    await Promise.all(Array.from({ length: COUNT }, (_, n) => make(category, n, { n })));
    return due;
  } finally {
    await transport.close();
  }
}

/**
 * Resolves when each of these numbers has fired, or none is missing that `expected` returns for the times of all
 * firings by number, and `ms` later: with those times.
 */
export async function firings(
  url: string,
  expected: readonly number[] | ((fired: ReadonlyMap<number, number[]>) => readonly number[]),
  { ms = 0, replicas = 1 }: { ms?: number; replicas?: number } = {},
): Promise<Map<number, number[]>> {
  const transport = await openTransport(url);
  try {
    const all = await logReader(new NatsEventLog(transport), "default", replicas);
    const read = async () => {
      const found = new Map<number, number[]>();
      for (const { payload, time } of await all()) {
        if (payload === null) continue; // of the crowd
        const { n } = payload as { n: number };
        found.set(n, [...found.get(n) ?? [], time]);
      }
      return found;
    };
    let missing: readonly number[] = [];
    await eventually("each to fire", async () => {
      const fired = await read();
      missing = typeof expected === "function" ? expected(fired) : expected.filter((n) => !fired.has(n));
      return missing.length === 0;
    }).catch(() => assertEquals(missing, [], "never fired"));
    await wait(ms);
    return await read();
  } finally {
    await transport.close();
  }
}

async function openLog(transport: NatsTransport, replicas: number): Promise<LogStream> {
  return await new NatsEventLog(transport).open(streamName("default", "log"), {
    subjects: logSubjects("default"),
    replicas,
    schedules: true,
  });
}
