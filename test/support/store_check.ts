/**
 * Reads the buckets of a cluster without Catga, by the server's clock, and finds entries that outlived their ttl.
 */
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { setTimeout as wait } from "node:timers/promises";
import { askAgain } from "./ask_again.ts";

/** An entry, or the marker of one that was deleted. */
export interface StoredEntry {
  /** The stream, `KV_catga_<namespace>_…`. */
  readonly stream: string;
  readonly key: string;
  /** Its number in the stream. */
  readonly seq: number;
  /** When it was written, in ms since 1970 by the server's clock. */
  readonly written: number;
  /** How long it was to live, in ms; `undefined` for good. */
  readonly ttl: number | undefined;
  readonly marker: boolean;
}

/** What one look at the store saw. */
export interface StoreView {
  /** The server's clock when it had been read, in ms since 1970. */
  readonly now: number;
  /** True if several servers have copies of the streams. */
  readonly replicated: boolean;
  readonly entries: readonly StoredEntry[];
}

/** How long after its ttl an entry may still be there, in ms. */
export const OVERDUE = 5_000;

/**
 * Entries that outlived their ttl, and those that stay for ever where none may (everywhere but in the cache): a line
 * each. None when all is well. A marker that outlived its ttl counts on a single server alone: of three, some keep one
 * after an election, which says no more than that its key is free.
 */
export function storeViolations({ now, replicated, entries }: StoreView): string[] {
  return entries.flatMap((entry) => {
    const { stream, key, written, ttl, marker } = entry;
    if (isOverdue(entry, now) && !(marker && replicated)) {
      return [`${stream} ${marker ? "marker of " : ""}${key}: ${Math.round(now - written)} ms old, its ttl ${ttl} ms`];
    }
    const forever = ttl === undefined && !marker && !stream.endsWith("_cache");
    return forever ? [`${stream} ${key}: it has no ttl`] : [];
  });
}

function isOverdue({ written, ttl }: StoredEntry, now: number): boolean {
  return ttl !== undefined && now - written > ttl + OVERDUE;
}

/** A raw connection to the first of some servers that is there; a user stands in the first URL, if at all. */
export function connectTo(servers: string | readonly string[]): Promise<NatsConnection> {
  const urls = typeof servers === "string" ? servers.split(",") : servers;
  const { username: user, password: pass } = new URL(urls[0]);
  return connect({ servers: urls.map((url) => new URL(url).host), ...user && { user, pass } });
}

/**
 * The violations that are still there `limit` ms after the first look. To be asked right after the last fault, when a
 * removal may wait for its client's reconnect, and with several servers for an election.
 */
export async function lastingViolations(
  look: () => Promise<StoreView>,
  limit = { alone: OVERDUE, replicated: OVERDUE + ELECTION },
): Promise<string[]> {
  const began = performance.now();
  for (;;) {
    const view = await look();
    const violations = storeViolations(view);
    const over = performance.now() - began > (view.replicated ? limit.replicated : limit.alone);
    if (violations.length === 0 || over) return violations;
    await wait(250);
  }
}

/** How long an election takes at most, in ms. */
export const ELECTION = 10_000;

/** Reads all buckets of a namespace. Rejects when the server does not answer. */
export async function readStore(servers: string | readonly string[], namespace: string): Promise<StoreView> {
  const connection = await connectTo(servers);
  const ask = async <T extends object>(subject: string, request: object = {}): Promise<T> => {
    const message = await askAgain(connection, `$JS.API.${subject}`, request);
    const answer = message.json<T & { error?: { description: string } }>();
    if (answer.error !== undefined) throw new Error(`${subject}: ${answer.error.description}`);
    return answer;
  };
  try {
    const { streams: all } = await ask<{ streams: string[] | null }>("STREAM.NAMES");
    const streams = (all ?? []).filter((name) => name.startsWith(`KV_catga_${namespace}_`));
    const entries: StoredEntry[] = [];
    for (const stream of streams) entries.push(...await list(stream));
    if (streams.length === 0) return { now: Date.now(), replicated: false, entries };
    const { ts, config } = await ask<{ ts: string; config: { num_replicas: number } }>(`STREAM.INFO.${streams[0]}`);
    const view = { now: Date.parse(ts), replicated: config.num_replicas > 1, entries };
    // a consumer reads one replica; what is still in a stream, its leader says
    const late = new Set<StoredEntry>();
    for (const entry of entries) if (isOverdue(entry, view.now) && !await isThere(entry)) late.add(entry);
    return { ...view, entries: entries.filter((entry) => !late.has(entry)) };
  } finally {
    await connection.close();
  }

  async function isThere({ stream, key, seq }: StoredEntry): Promise<boolean> {
    const subject = `$KV.${stream.slice("KV_".length)}.${key}`;
    const found = await askAgain(connection, `$JS.API.STREAM.MSG.GET.${stream}`, { last_by_subj: subject });
    return found.json<{ message?: { seq: number } }>().message?.seq === seq;
  }

  /** Every message of a stream, by a consumer that goes with this connection. */
  async function list(stream: string): Promise<StoredEntry[]> {
    const found: StoredEntry[] = [];
    const inbox = `_INBOX.store.${crypto.randomUUID()}`;
    const name = `store_${crypto.randomUUID().slice(0, 8)}`;
    let expected = Infinity;
    const all = Promise.withResolvers<void>();
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) return all.reject(error);
        found.push(entryOf(stream, message));
        if (found.length >= expected) all.resolve();
      },
    });
    all.promise.catch(() => {}); // it may be rejected before it is awaited
    let late: ReturnType<typeof setTimeout> | undefined;
    try {
      const { num_pending = 0 } = await ask<{ num_pending?: number }>(`CONSUMER.CREATE.${stream}.${name}`, {
        stream_name: stream,
        config: {
          name,
          deliver_subject: inbox,
          deliver_policy: "all",
          ack_policy: "none",
          mem_storage: true,
          num_replicas: 1,
          inactive_threshold: 5_000_000_000,
        },
      });
      // what expires before it is delivered does not come, and nothing more is awaited when the rest has
      expected = num_pending;
      late = setTimeout(() => all.reject(new Error(`${stream}: ${found.length} of ${expected} came`)), 60_000);
      const ended = setInterval(async () => {
        const info = await ask<{ num_pending?: number }>(`CONSUMER.INFO.${stream}.${name}`).catch(() => undefined);
        if (info?.num_pending === 0) await connection.flush().then(() => all.resolve(), all.reject);
      }, 200);
      if (found.length >= expected) all.resolve();
      try {
        await all.promise;
      } finally {
        clearInterval(ended);
      }
      // when that is asked twice the second answer is an error
      await askAgain(connection, `$JS.API.CONSUMER.DELETE.${stream}.${name}`);
      return found;
    } finally {
      clearTimeout(late);
      subscription.unsubscribe();
    }
  }
}

function entryOf(stream: string, { subject, reply, headers }: Msg): StoredEntry {
  const ttl = headers?.get("Nats-TTL") ?? "";
  // $JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<ns since 1970>.<pending>
  const [, , , , , seq, , nanoseconds] = reply!.split(".").map(Number);
  return {
    stream,
    seq,
    key: subject.slice(`$KV.${stream.slice("KV_".length)}.`.length),
    written: nanoseconds / 1e6,
    ttl: ttl === "" || ttl === "never" ? undefined : seconds(ttl) * 1_000,
    marker: (headers?.get("KV-Operation") ?? "") !== "" || (headers?.get("Nats-Marker-Reason") ?? "") !== "",
  };
}

/** A ttl as the header has it: seconds, with a unit (`30s`, `24h0m0s`) or without. */
function seconds(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/([\d.]+)(ms|h|m|s)/g)) {
    sum += Number(count) * { ms: 0.001, s: 1, m: 60, h: 3_600 }[unit as "ms" | "s" | "m" | "h"];
  }
  return sum;
}
