/**
 * A look at a cluster from outside: what stands in its store and passes on its subjects, without being a node of it. It
 * makes no bucket unless it is told to, writes no record, and takes no message from anybody.
 */
import { type BucketKind, bucketName, BUCKETS } from "../ports/buckets.ts";
import { token } from "../ports/clock.ts";
import { PROTOCOL, readFrame } from "../cluster/wire/frame.ts";
import { readRecord } from "../cluster/membership/node_record.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import { JetStream } from "../nats/jetstream.ts";
import { JetStreamRefusal } from "../nats/jetstream_refusal.ts";
import { openNats } from "../nats/open.ts";
import { printable } from "../data/printable.ts";
import { mayNot } from "../ports/transport.ts";
import { LockKeys, type LockRecord, readLockRecord } from "../state/locks/lock_record.ts";
import type { NodeInfo } from "../../mod.ts";
import { connectionOptions } from "./connection.ts";
import type { Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

type Opened = Awaited<ReturnType<typeof openNats>>;

/** What a record in the bucket of the locks is about: a lock, who leads, or who loads something into the cache. */
export type LockKind = "lock" | "lead" | "load";

/** Where the records of each kind stand. */
const SPACES: Readonly<Record<LockKind, LockKeys>> = {
  lock: new LockKeys(),
  lead: new LockKeys("lead"),
  load: new LockKeys("load"),
};

/** The kinds, in the order of the table. */
export const LOCK_KINDS = Object.keys(SPACES) as readonly LockKind[];

/** A lock that somebody holds. */
export interface HeldLock {
  readonly kind: LockKind;
  readonly key: string;
  readonly record: LockRecord;
  readonly token: number;
  /** Of its record in the store. */
  readonly revision: number;
  /** How many wait for it. */
  readonly waiting: number;
}

/** What came back to a ping. */
export type Echo =
  | { readonly type: "pong"; readonly ms: number; readonly load: readonly [number, number] }
  | { readonly type: "bounce" }
  | { readonly type: "silence" };

/** A connection that looks on. */
export class ClusterView implements AsyncDisposable {
  readonly namespace: string;
  /** Where NATS is, for people. */
  readonly address: string;
  readonly transport: Opened["transport"];
  /** Aborts when the server does not let this user do something, which has been said. */
  readonly refused: AbortSignal;
  readonly #store: Opened["store"];

  private constructor(opened: Opened, namespace: string, refused: AbortSignal) {
    this.refused = refused;
    this.transport = opened.transport;
    this.#store = opened.store;
    this.namespace = namespace;
    this.address = printable(opened.transport.connection.getServer());
  }

  /** Connects. Rejects as `catga` does. */
  static async open(flags: Flags, terminal: Terminal): Promise<ClusterView> {
    const { namespace } = flags;
    const refused = new AbortController();
    const opened = await openNats(await connectionOptions(flags, terminal), {
      name: "catga cli",
      transport: undefined,
      onError: (error) => terminal.say(printable(`catga: ${error}`)),
      onForbidden: (violation) => {
        const { code, message } = mayNot(violation);
        terminal.say(printable(`${code}: ${message}`));
        refused.abort();
      },
      onNotice: (notice) => terminal.say(printable(`catga: ${notice}`)),
      passive: true,
    });
    return new ClusterView(opened, namespace, refused.signal);
  }

  /** On how many servers the records of nodes are kept; `undefined` while there has been no node. */
  async replicas(): Promise<number | undefined> {
    return (await this.#settings("nodes"))?.replicas;
  }

  /** The records of the nodes, sorted by id. */
  async nodes(): Promise<NodeInfo[]> {
    const entries = await (await this.bucket("nodes"))?.entries("") ?? [];
    const infos = entries.map(({ key, value }) => readRecord(key, value)).filter((info) => typeof info !== "string");
    return infos.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The locks that are held, sorted by kind and key. */
  async locks(): Promise<HeldLock[]> {
    const entries = await (await this.bucket("locks"))?.entries("") ?? [];
    const held: HeldLock[] = [];
    for (const kind of LOCK_KINDS) {
      const places = entries.map((entry) => ({ entry, about: SPACES[kind].parse(entry.key) }));
      for (const { entry, about } of places) {
        if (about === undefined || about.waiter !== undefined) continue;
        const record = readLockRecord(entry.value);
        if (record === undefined) continue;
        const { revision } = entry;
        const waiting = places.filter((place) => place.about?.waiter !== undefined && place.about.key === about.key);
        const token = record.token ?? revision;
        held.push({ kind, key: about.key, record, token, revision, waiting: waiting.length });
      }
    }
    return held.sort((a, b) => LOCK_KINDS.indexOf(a.kind) - LOCK_KINDS.indexOf(b.kind) || (a.key < b.key ? -1 : 1));
  }

  /** Takes a lock away from who was seen to hold it. `false` when its record has changed since. */
  async release({ kind, key, revision }: HeldLock): Promise<boolean> {
    return await (await this.bucket("locks"))?.delete(SPACES[kind].holder(key), { revision }) ?? false;
  }

  /** A bucket as it is; `undefined` when nothing has been put there. Rejects as `KeyValueStore.open` does. */
  async bucket(kind: BucketKind): Promise<Bucket | undefined> {
    const settings = await this.#settings(kind);
    return settings && await this.#store.open(bucketName(this.namespace, kind), settings);
  }

  /** What a bucket was made with. To open it with anything else would be an error, or make one. */
  async #settings(kind: BucketKind): Promise<{ replicas: number; direct: boolean } | undefined> {
    const bucket = bucketName(this.namespace, kind);
    try {
      const { config } = await new JetStream(this.transport).info(`KV_${bucket}`, ANSWER);
      return { replicas: Number(config.num_replicas), direct: config.allow_direct === true };
    } catch (error) {
      if (!(error instanceof JetStreamRefusal)) throw error;
      if (error.refusal === "no stream") return undefined;
      await this.#store.open(bucket); // which says what is wrong, or waits until it is not
      return { replicas: 1, direct: false };
    }
  }

  /** Makes a bucket: `true`; or checks the one that is there. Rejects as `KeyValueStore.open` does. */
  async setUp(kind: BucketKind, replicas: number): Promise<boolean> {
    const there = await this.#settings(kind) !== undefined;
    await this.#store.open(bucketName(this.namespace, kind), { ...BUCKETS[kind], replicas });
    return !there;
  }

  /** Somebody who pings, until it is closed. */
  pinger(): Pinger {
    return new Pinger(this.transport, this.namespace);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.transport.close();
  }
}

/** Pings processes as nodes do, and is none. */
export class Pinger implements Disposable {
  readonly #transport: Opened["transport"];
  readonly #namespace: string;
  readonly #endpoint: string;
  readonly #waiting = new Map<string, (echo: Echo) => void>();
  readonly #subscriptions: { close(): void }[];
  #pings = 0;

  constructor(transport: Opened["transport"], namespace: string) {
    this.#transport = transport;
    this.#namespace = namespace;
    this.#endpoint = `cli-${token(transport.random, 8)}.${token(transport.random, 12)}`;
    const inbox = `catga.${namespace}.node.${this.#endpoint}.`;
    const bounces = `catga.${namespace}.bounce.${this.#endpoint}.`;
    this.#subscriptions = [
      transport.subscribe(`${inbox}>`, {}, ({ subject, data }) => {
        if (!subject.startsWith(inbox)) return;
        const from = subject.slice(inbox.length);
        for (const item of readFrame(data).items) {
          if (item[0] === "o") this.#waiting.get(`${from} ${item[1]}`)?.({ type: "pong", ms: 0, load: item[4] });
        }
      }),
      transport.subscribe(`${bounces}>`, {}, ({ subject, noResponders }) => {
        if (!subject.startsWith(bounces)) return;
        // <target id>.<target nonce>.<n>: of our own making
        const place = subject.slice(bounces.length).replace(/\.(\d+)$/, " $1");
        if (noResponders) this.#waiting.get(place)?.({ type: "bounce" });
      }),
    ];
  }

  /** What comes back within `limit` ms. */
  async ping(endpoint: string, limit: number): Promise<Echo> {
    const { clock } = this.#transport;
    const n = ++this.#pings;
    const place = `${endpoint} ${n}`;
    const heard = Promise.withResolvers<Echo>();
    this.#waiting.set(place, heard.resolve);
    const timer = clock.after(limit, () => heard.resolve({ type: "silence" }));
    const sent = clock.monotonic();
    try {
      // each target counts the frames of this sender by itself, and all numbers grow
      const frame = [PROTOCOL, n, Math.round(clock.now()), ["p", n]];
      this.#transport.publish(`catga.${this.#namespace}.node.${endpoint}.${this.#endpoint}`, JSON.stringify(frame), {
        reply: `catga.${this.#namespace}.bounce.${this.#endpoint}.${endpoint}.${n}`,
      });
      const echo = await heard.promise;
      return echo.type === "pong" ? { ...echo, ms: clock.monotonic() - sent } : echo;
    } finally {
      timer.cancel();
      this.#waiting.delete(place);
    }
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.close();
  }
}

const ANSWER = 2_000; // ms
