/**
 * What operators see of the log and ask of it, from any node and from the command line: nothing here leads a subscription. Requests are
 * written into records, and leaders carry them out.
 */
import { CatgaError } from "../../error.ts";
import type { DeadLetter, DeadLetterOptions, SubscriptionInfo } from "../../contract/kept.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { COMMANDS, entitiesName, OF_ENTITIES, streamOf, subscriptionKey } from "../format/names.ts";
import { readSubscriptionRecord, writeSubscriptionRecord } from "../format/subscription_record.ts";
import { listDeadLetters } from "./dead_letters.ts";
import { ParkedIndex } from "./parked_index.ts";
import { placeOf } from "./place.ts";
import { rewriteEntry } from "./rewrite.ts";
import { type StoredRecord, storedRecords } from "./stored_records.ts";
import { announced, subscriptionInfos } from "./subscription_infos.ts";

/** What an {@link Administration} is made of. What does not exist (yet) is `undefined`: then nothing was kept so far. */
export interface AdministrationOptions {
  readonly namespace: string;
  readonly clock: Clock;
  /** The stream of the log. */
  stream(): Promise<LogStream | undefined>;
  /** The stream of entities; `undefined` (the method too): there is none. */
  entities?(): Promise<LogStream | undefined>;
  subscriptions(): Promise<Bucket | undefined>;
  parked(): Promise<Bucket | undefined>;
  /** The live nodes. */
  nodes(): readonly NodeInfo[] | Promise<readonly NodeInfo[]>;
}

/** The log of one namespace, as operators see it. */
export class Administration {
  readonly #options: AdministrationOptions;

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  /** How all subscriptions stand, sorted by service and name. Records that cannot be read are left out. */
  async subscriptions(): Promise<readonly SubscriptionInfo[]> {
    const records = await this.#records();
    if (records.length === 0) return [];
    const parked = await ParkedIndex.read(await this.#options.parked(), "", records);
    const { namespace, clock } = this.#options;
    const needed = [...new Set(records.map(({ record }) => streamOf(namespace, record.name)))];
    const [nodes, ...streams] = await Promise.all([
      this.#options.nodes(),
      ...needed.map((name) => this.#stream(name)),
    ]);
    return await subscriptionInfos({ namespace, clock, streams, nodes, records, parked });
  }

  /** The dead letters, by service, subscription and position. */
  async *deadLetters(options: DeadLetterOptions = {}): AsyncIterableIterator<DeadLetter> {
    const bucket = await this.#options.parked();
    if (bucket === undefined) return;
    yield* listDeadLetters(bucket, await this.#records(), this.#options.clock, options);
  }

  /**
   * Requests that a subscription handles again what stands behind a place; that of a queued command, whose name is the contract's, if the
   * service has none of the name. A request that is not carried out yet is carried out with it: from the smaller of the two places. Resolves
   * when that is recorded. Rejects with a `TypeError` for a subscription that does not exist, naming
   * those that do.
   */
  async rewind(service: string, name: string, to: "start" | number | Date): Promise<void> {
    const bucket = await this.#options.subscriptions();
    const { key, record: { service: owner, name: own } } = await this.#find(service, name, COMMANDS);
    const { namespace } = this.#options;
    const place = to === "start" ? 0 : await placeOf(await this.#stream(streamOf(namespace, own)), namespace, to);
    const id = `${this.#options.clock.now()}`;
    await rewriteEntry(bucket!, key, this.#options.clock, (text) => { // it has the record
      const record = readSubscriptionRecord(owner, own, text);
      if (typeof record === "string") {
        throw new CatgaError("INVALID_MESSAGE", `the record of ${name} cannot be read: ${record}`);
      }
      const pending = record.rewind?.to ?? Infinity;
      return writeSubscriptionRecord({ ...record, rewind: { to: Math.min(place, pending), id } });
    });
  }

  /**
   * Removes a subscription that no live node handles, with what it has parked, dead letters included. Resolves with the number of
   * these. Rejects with a `TypeError` for one that does not exist, and for one that a node handles.
   */
  async remove(service: string, name: string): Promise<number> {
    const { key, revision, record: { name: own } } = await this.#find(service, name);
    const handlers = (await this.#options.nodes()).filter((node) => announced(node, service, own).length > 0);
    if (handlers.length > 0) {
      throw new TypeError(
        `the subscription ${label(service, name)} is handled by ${
          handlers.map(({ id }) => id).join(", ")
        }: only one that no live ` +
          "node handles can be removed",
      );
    }
    const [records, parked] = [await this.#options.subscriptions(), await this.#options.parked()];
    if (!await records!.delete(key, { revision })) { // it has the record
      throw new CatgaError(
        "UNAVAILABLE",
        `the subscription ${label(service, name)} has a leader again: it was not removed`,
      );
    }
    return await ParkedIndex.removeAll(parked, service, own);
  }

  /** Finds a subscription of a service, or else of another one. */
  async #find(service: string, name: string, other = service): Promise<StoredRecord> {
    const records = await this.#records();
    const of = (its: string, own: string) => records.find(({ key }) => key === subscriptionKey(its, own));
    const found = of(service, name) ?? of(service, name + OF_ENTITIES) ?? of(other, name);
    if (found !== undefined) return found;
    const names = records.map(({ record }) => label(record.service, record.name)).join(", ") || "none";
    throw new TypeError(`there is no subscription ${label(service, name)}; there are ${names}`);
  }

  async #stream(name: string): Promise<LogStream | undefined> {
    const { namespace, stream, entities } = this.#options;
    return name === entitiesName(namespace) ? await entities?.() : await stream();
  }

  async #records(): Promise<StoredRecord[]> {
    return await storedRecords(await this.#options.subscriptions());
  }
}

function label(service: string, name: string): string {
  return `${service}/${name}`;
}
