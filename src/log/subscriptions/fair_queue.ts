/**
 * The messages of one contract that may run, by tenant: the next one is of the tenant of which the fewest run for its
 * weight, however many messages of others wait. A tenant has no credit to save up: only what runs now counts.
 */
import { Fifo } from "../../data/fifo.ts";
import { forgetGone, hasManyGone, RankedLine, type RankedMessage, type WaitingLine } from "./ranked_line.ts";

/** A message that has a tenant. */
export interface FairMessage extends RankedMessage {
  /** The message's tenant; `undefined`: not known yet. */
  tenant: FairTenant | undefined;
  /** `gone`: the message is done. */
  readonly place: "open" | "parked" | "gone";
}

/** A tenant of which messages wait or run. */
export class FairTenant {
  readonly name: string;
  readonly weight: number;
  /** Number of its messages that run. */
  running = 0;
  /** Number of its messages that refer to it: it is forgotten without any. */
  messages = 0;
  /** Level at which it is listed; -1: it is not, because none of its messages waits. */
  level = -1;

  constructor(name: string, weight: number) {
    this.name = name;
    this.weight = weight;
  }
}

/** A queue whose next message is of the tenant of which the fewest run. */
export class FairQueue<T extends FairMessage> {
  readonly #tenants = new Map<string, FairTenant>();
  readonly #waiting = new Map<FairTenant, WaitingLine<T>>();
  readonly #isRanked: boolean;
  /** Tenants of which messages wait, by how many run for their weight; of a level, the one that waits longest first. */
  readonly #levels: (Set<FairTenant> | undefined)[] = [];
  /** No tenant is listed at a level below. */
  #lowest = 0;
  /** Number of messages that run. */
  running = 0;

  /** `isRanked`: true if the messages of a tenant wait by rank, not in the order in which they came. */
  constructor(isRanked = false) {
    this.#isRanked = isRanked;
  }

  /** Number of tenants in memory. */
  get size(): number {
    return this.#tenants.size;
  }

  /** Number of messages in the queue, also of those that are done. */
  get listed(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** The tenants in memory. */
  get tenants(): Iterable<FairTenant> {
    return this.#tenants.values();
  }

  /** Gives a message its tenant, until {@link FairQueue.leave}. `weightOf`: returns the weight of a new tenant. */
  enter(item: T, name: string, weightOf: (tenant: string) => number): void {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) this.#tenants.set(name, tenant = new FairTenant(name, weightOf(name)));
    tenant.messages++;
    item.tenant = tenant;
  }

  /** Takes note that a message is done, or left in the log. */
  leave({ tenant }: T): void {
    if (tenant === undefined) return;
    tenant.messages--;
    this.#forget(tenant);
  }

  /** Adds a message that may run. */
  push(item: T): void {
    const tenant = item.tenant!; // it has entered
    let own = this.#waiting.get(tenant);
    if (own === undefined) this.#waiting.set(tenant, own = this.#isRanked ? new RankedLine<T>() : new Fifo<T>());
    own.push(item);
    if (hasManyGone(own.size, tenant.messages)) forgetGone([own], ({ place }) => place !== "gone");
    this.#list(tenant);
  }

  /** Removes and returns the next message; `undefined`: none waits. */
  shift(): T | undefined {
    for (; this.#lowest < this.#levels.length; this.#lowest++) {
      for (const tenant of this.#levels[this.#lowest] ?? []) {
        const own = this.#waiting.get(tenant)!; // one is listed only while messages of it wait
        const item = own.shift();
        if (own.size === 0) this.#waiting.delete(tenant);
        this.#unlist(tenant);
        this.#list(tenant); // behind the others of its level
        return item;
      }
    }
    return undefined;
  }

  /** Takes note that a message runs. */
  begun({ tenant }: T): void {
    this.#count(tenant, 1);
  }

  /** Takes note that a message does not run any more. */
  ended({ tenant }: T): void {
    this.#count(tenant, -1);
  }

  #count(tenant: FairTenant | undefined, change: number): void {
    this.running += change;
    if (tenant === undefined) return;
    tenant.running += change;
    this.#forget(tenant);
    if (tenant.level < 0 || tenant.level === levelOf(tenant)) return;
    this.#unlist(tenant);
    this.#list(tenant);
  }

  /** Forgets a tenant that has no messages. */
  #forget(tenant: FairTenant): void {
    if (tenant.messages > 0 || tenant.running > 0) return;
    this.#tenants.delete(tenant.name);
    this.#unlist(tenant);
    this.#waiting.delete(tenant);
  }

  #list(tenant: FairTenant): void {
    if (tenant.level >= 0 || !this.#waiting.has(tenant)) return;
    tenant.level = levelOf(tenant);
    (this.#levels[tenant.level] ??= new Set()).add(tenant);
    this.#lowest = Math.min(this.#lowest, tenant.level);
  }

  #unlist(tenant: FairTenant): void {
    this.#levels[tenant.level]?.delete(tenant);
    tenant.level = -1;
  }
}

function levelOf({ running, weight }: FairTenant): number {
  return Math.min(MAX_LEVEL, Math.floor(running / weight));
}

/** Number of running messages for the weight from which on tenants are all the same. */
const MAX_LEVEL = 4_096;
