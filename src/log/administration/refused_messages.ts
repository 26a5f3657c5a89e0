/**
 * Finds out why stored messages wait for a node with another version of their contract, for programs and tools that
 * show which messages or runs of workflows do not go on.
 */
import type { AwaitedVersion, AwaitingMessages } from "../../dispatch/remote.ts";
import { readSubscriptionKey } from "../format/names.ts";
import {
  type KeptCommits,
  type KeptMessage,
  parkedMessage,
  parkedMessages,
  storedKeys,
  type StoredSubscription,
  storedSubscription,
} from "./stored_subscriptions.ts";

/** The refusals that are stored; each subscription is read once, when it is first asked for. */
export class StoredRefusals implements AwaitingMessages {
  readonly #kept: Promise<KeptCommits | undefined>;
  #keys: Promise<readonly string[]> | undefined;
  /** By name, in all services: the subscriptions. */
  readonly #subscriptions = new Map<string, Promise<readonly StoredSubscription[]>>();
  /** By name: the refused messages of the subscriptions, in the order in which they were stored. */
  readonly #refused = new Map<string, Promise<readonly KeptMessage[]>>();

  constructor(kept: Promise<KeptCommits | undefined>) {
    this.#kept = kept;
    kept.catch(() => {}); // each call of a method rejects with the error
  }

  async of(name: string, ids: readonly string[]): Promise<AwaitedVersion | undefined> {
    for (const { key, state } of await this.#named(name)) {
      for (const id of ids) {
        const kept = state.parked.has(id) ? await this.#kept : undefined;
        const refusal = refusalOf(kept && await parkedMessage(kept, key, id));
        if (refusal !== undefined) return refusal;
      }
    }
    return undefined;
  }

  async find(name: string, is: (payload: unknown) => boolean): Promise<AwaitedVersion | undefined> {
    let refused = this.#refused.get(name);
    if (refused === undefined) this.#refused.set(name, refused = this.#readRefused(name));
    return refusalOf((await refused).find(({ message: { payload } }) => is(payload)));
  }

  /** Reads the subscriptions with this name, one for each service that has it. */
  #named(name: string): Promise<readonly StoredSubscription[]> {
    let found = this.#subscriptions.get(name);
    if (found === undefined) this.#subscriptions.set(name, found = this.#read(name));
    return found;
  }

  async #read(name: string): Promise<readonly StoredSubscription[]> {
    const kept = await this.#kept;
    if (kept === undefined) return [];
    const keys = (await (this.#keys ??= storedKeys(kept))).filter((key) => readSubscriptionKey(key)?.name === name);
    return (await Promise.all(keys.map((key) => storedSubscription(kept, key)))).filter((each) => each !== undefined);
  }

  async #readRefused(name: string): Promise<readonly KeptMessage[]> {
    const all: KeptMessage[] = [];
    const kept = await this.#kept;
    if (kept === undefined) return all;
    for (const subscription of await this.#named(name)) {
      for await (const [, message] of parkedMessages(kept, subscription, ({ dead }) => dead === 0)) {
        if (refusalOf(message) !== undefined) all.push(message);
      }
    }
    return all;
  }
}

/** Returns why a parked message waits for a node with another version; `undefined`: it does not. */
function refusalOf(parked: KeptMessage | undefined): AwaitedVersion | undefined {
  const { code = "", message = "", outage = 0, refusedBy = [] } = parked?.error ?? {};
  return parked === undefined || refusedBy.length === 0
    ? undefined
    : { code, message, since: outage, newest: parked.storedAt };
}
