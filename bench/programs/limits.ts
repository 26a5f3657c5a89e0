/**
 * A subscription with limits, or with tenants, in one process; or the client that publishes to it. The arguments:
 * `node` or `client`, and the options; the variant of a node is what its subscription has.
 */
import { setTimeout as wait } from "node:timers/promises";
import { catga, event, query, type SubscriptionOptions, unwrap } from "../../mod.ts";
import { answer } from "./answer.ts";
import { now, started } from "./remote.ts";

/** A message of a tenant, which is its key in limits, too; its handler takes `ms`, or does not end. */
interface Charged {
  readonly tenant: string;
  readonly n: number;
  readonly ms: number;
}

/** Messages to publish: `count` of them, of so many tenants in turn, whose names begin with `tenant`. */
export interface Charges {
  readonly tenant: string;
  readonly tenants: number;
  readonly from: number;
  readonly count: number;
  /** How long each is handled, in ms; -1: its handler does not end. */
  readonly ms: number;
}

/** What a node has handled since it was asked before, of messages whose tenants' names begin with `tenant`. */
export interface Charging {
  readonly count: number;
  /** When the last of them ended, in ms since 1970, with fractions. */
  readonly last: number;
  /** When each of the newest began and ended, if `runs` are asked for. */
  readonly runs: readonly (readonly [begun: number, ended: number])[];
  /** How many run now. */
  readonly running: number;
  /** The most keys of a limit that its leader has had in memory, and those that it has now. */
  readonly mostKeys: number;
  readonly keys: number;
  readonly leads: boolean;
}

/** How many run at once of the variant `twelve`. */
const SLOTS = 12;
/** What a subscription has, by the variant of its node. */
const VARIANTS = {
  nothing: {},
  fair: { fair: tenantOf, concurrency: 16 },
  "fair and 5 of each": { fair: tenantOf, limit: { key: tenantOf, running: 5 } },
  "8 of each": { limit: { key: tenantOf, running: 8 }, concurrency: 16 },
  "5 of each": { limit: { key: tenantOf, running: 5 } },
  "two by key": { limit: [{ key: tenantOf, running: 5 }, { name: "shards", key: shardOf, running: 50 }] },
  one: { limit: { running: 1 } },
  twelve: { limit: { running: SLOTS } },
  concurrency: { concurrency: 16 },
} as const;

/** The name of one of them. */
export type Variant = keyof typeof VARIANTS;

const Charged = event<Charged>("Charged", { durable: true, key: ({ tenant, n }) => `${tenant}-${n}` });
const Ping = query<number, number>("Ping");
const { side, options: { url, group, transport, variant = "nothing" } } = started();
const counts = new Map<string, { count: number; last: number }>();
let running = 0;
let runs: [begun: number, ended: number][] = [];
let mostKeys = 0;

const handlers = side === "client" ? [] : [
  Ping.handle((n) => n),
  Charged.on(
    async ({ tenant, ms }) => {
      const begun = now();
      running++;
      if (ms < 0) await new Promise<void>(() => {});
      if (ms > 0) await wait(ms);
      running--;
      const own = counts.get(tenant[0]) ?? { count: 0, last: 0 };
      counts.set(tenant[0], { count: own.count + 1, last: now() });
      runs.push([begun, now()]);
    },
    { name: "charges", from: "start", timeout: 600_000, ...VARIANTS[variant as Variant] } as SubscriptionOptions<
      Charged
    >,
  ),
];
const app = await catga({ nats: url, namespace: group, transport, service: side, handlers });
const limits = () => app.health().subscriptions[0]?.limits ?? [];
const keysNow = () => Math.max(0, ...limits().map(({ keys = 0 }) => keys));
if (side === "node") setInterval(() => mostKeys = Math.max(mostKeys, keysNow()), 20);

answer({
  async publish({ tenant, tenants, from, count, ms }: Charges): Promise<number> {
    for (let at = 0; at < count; at += 1_000) {
      const part = Array.from({ length: Math.min(1_000, count - at) }, (_, i) => from + at + i);
      const stored = part.map((n) => app.publish(Charged, { tenant: `${tenant}${n % tenants}`, n, ms }));
      for (const each of await Promise.all(stored)) unwrap(each);
    }
    return now();
  },
  charging(tenant: string): Charging {
    const { count, last } = counts.get(tenant) ?? { count: 0, last: 0 };
    const [{ state } = { state: "following" }] = app.health().subscriptions;
    const newest = runs;
    runs = [];
    return { count, last, runs: newest, running, mostKeys, keys: keysNow(), leads: state !== "following" };
  },
  /** How long a message to a node and back takes, one after the other, in ms. */
  async roundTrips(count: number): Promise<number[]> {
    const took: number[] = [];
    for (let n = 0; n < count; n++) {
      const sent = now();
      unwrap(await app.send(Ping, n));
      took.push(now() - sent);
    }
    return took;
  },
  nodes: () => app.nodes().filter(({ service }) => service === "node").length,
});

function tenantOf({ tenant }: Charged): string {
  return tenant;
}

function shardOf({ n }: Charged): string {
  return `${n % 1_000}`;
}
