/**
 * Administration of the durable log for operators, from any node and from the command line. The administration leads no
 * subscription: it stores requests in the stream `catga_<ns>_subscriptions`, and the leader of the subscription carries
 * them out.
 */
import { CatgaError } from "../../error.ts";
import {
  checkPauseOptions,
  type DeadLetter,
  type DeadLetterOptions,
  type LimitControl,
  type LimitPauseOptions,
  type PauseOptions,
  type SubscriptionInfo,
} from "../../contract/calls/durable_messages.ts";
import type { AwaitingMessages } from "../../dispatch/remote.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { fewAtOnce } from "../../data/gate.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { COMMANDS, OF_ENTITIES } from "../../contract/nodes/announcement.ts";
import {
  commitSubject,
  overridesSubject,
  parkedSubject,
  requestSubject,
  streamOf,
  subscriptionKey,
} from "../format/names.ts";
import { type Overrides, pauseAt, pauseOf } from "../format/overrides.ts";
import { streamName } from "../format/stream_name.ts";
import type { ParkedMessage } from "../format/parked_message.ts";
import { StoredRefusals } from "./refused_messages.ts";
import { listDeadLetters } from "./dead_letters.ts";
import {
  checkResumeOptions,
  clearedLimit,
  type LimitChange,
  type LimitInfo,
  limitsOf,
  type LimitSummary,
  type LimitTarget,
  pausedLimit,
  resumedLimit,
  setNumbers,
  withLimit,
} from "./limits.ts";
import { placeOf } from "./place.ts";
import { storeRequest } from "./requests.ts";
import { setOverrides } from "./set_overrides.ts";
import {
  type KeptCommits,
  parkedMessage,
  requestedLetters,
  type StoredSubscription,
  storedSubscription,
  storedSubscriptions,
} from "./stored_subscriptions.ts";
import { handles, subscriptionInfos } from "./subscription_infos.ts";

/**
 * Options of an {@link Administration}. A function for a stream resolves with `undefined` if the stream does not
 * exist (yet).
 */
export interface AdministrationOptions {
  readonly namespace: string;
  readonly clock: Clock;
  /** `maxPayload`: present maximum size of a message, in bytes. */
  readonly network: { readonly maxPayload: number };
  /** Opens the stream of the log (events, queued commands and schedules). */
  stream(): Promise<LogStream | undefined>;
  /** Opens the stream of entities; absent, or resolving with `undefined`: the stream does not exist. */
  entities?(): Promise<LogStream | undefined>;
  /** Opens the stream of subscriptions, which holds their commits, parked messages and requests. */
  kept(): Promise<LogStream | undefined>;
  /** Returns the live nodes. */
  nodes(): readonly NodeInfo[] | Promise<readonly NodeInfo[]>;
  /**
   * Asks the process at this endpoint for its node's record; called for a leader that is not among `nodes()`, because
   * nodes cannot write their records into a full store. Resolves with `undefined` if no answer comes.
   */
  ask?(endpoint: string): Promise<NodeInfo | undefined>;
}

/** A stored subscription, and the stream that has it. */
type FoundSubscription = StoredSubscription & { readonly kept: KeptCommits };

/**
 * Shows operators the log of one namespace, and carries out their changes.
 * @decides the operations on subscriptions: list, pause, limits, rewind, remove, dead letters, without leading any
 */
export class Administration {
  readonly #options: AdministrationOptions;
  /** The stored subscriptions as the last call of `stored()` found them, by key. */
  #known: ReadonlyMap<string, StoredSubscription> = new Map();

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  /** Returns the state of all subscriptions, sorted by service and name. Unreadable subscriptions are left out. */
  async subscriptions(): Promise<readonly SubscriptionInfo[]> {
    return await this.infosOf(await this.stored());
  }

  /** Reads all stored subscriptions, sorted by service and name. */
  async stored(): Promise<readonly StoredSubscription[]> {
    const kept = await this.#kept();
    const stored = kept === undefined ? [] : await storedSubscriptions(kept, this.#known);
    this.#known = new Map(stored.map((each) => [each.key, each]));
    return stored;
  }

  /**
   * Reads a message that a subscription has parked (it waits for its next attempt, or is dead); `undefined`: missing
   * or unreadable.
   */
  async message(key: string, id: string): Promise<ParkedMessage | undefined> {
    const kept = await this.#kept();
    return kept && await parkedMessage(kept, key, id);
  }

  /**
   * Reads the requests to replay or discard dead letters that the subscription's leader has not carried out yet, by
   * message id.
   */
  async requested(stored: StoredSubscription): Promise<ReadonlyMap<string, "replay" | "discard">> {
    const kept = await this.#kept();
    return kept === undefined ? new Map() : await requestedLetters(kept, stored);
  }

  /** Returns the state of the given subscriptions, in the given order. */
  async infosOf(stored: readonly StoredSubscription[]): Promise<readonly SubscriptionInfo[]> {
    const kept = stored.length === 0 ? undefined : await this.#options.kept();
    if (kept === undefined) return [];
    const { namespace, clock } = this.#options;
    const needed = [...new Set(stored.map(({ name }) => streamOf(namespace, name)))];
    const [nodes, ...streams] = await Promise.all([this.nodes(stored), ...needed.map((name) => this.#stream(name))]);
    return await subscriptionInfos({ namespace, clock, kept, streams, nodes, stored });
  }

  /**
   * Returns the live nodes, and also leaders of the given subscriptions that are not among the live nodes but answer.
   */
  async nodes(stored: readonly StoredSubscription[]): Promise<readonly NodeInfo[]> {
    const nodes = await this.#options.nodes();
    const leaders = new Set(stored.map(({ state }) => state.head.leader));
    for (const { endpoint } of nodes) leaders.delete(endpoint);
    const asked = await Promise.all([...leaders].map((endpoint) => this.#options.ask?.(endpoint)));
    return [...nodes, ...asked.filter((node) => node !== undefined)];
  }

  /**
   * Lists the dead letters, sorted by service, subscription and position. `only`: ids of the messages to list;
   * default: all.
   */
  async *deadLetters(options: DeadLetterOptions = {}, only?: ReadonlySet<string>): AsyncIterableIterator<DeadLetter> {
    const kept = await this.#kept();
    if (kept === undefined) return;
    const { network } = this.#options;
    yield* listDeadLetters({ ...kept, network }, await storedSubscriptions(kept), options, only);
  }

  /** Returns the messages that wait for a node with another version of their contract. */
  refused(): AwaitingMessages {
    return new StoredRefusals(this.#kept());
  }

  /**
   * Asks the leader of a subscription to handle the messages behind `to` again: a position in its stream; a date:
   * behind the position before the first message stored at or after it; `"start"`: all messages. If the service has no
   * subscription of this name, the subscription of the queued command of this name is rewound. Handlers of events of
   * entities that share the name are a subscription of their own, which goes to the same date, or to its start; a
   * position is one of the log. Resolves with the names of those that are rewound when the requests are stored. Rejects
   * with a `TypeError` that lists the existing subscriptions if there is no such subscription.
   */
  async rewind(service: string, name: string, to: "start" | number | Date): Promise<readonly string[]> {
    const found = [await this.#find(service, name, COMMANDS)];
    if (typeof to !== "number") found.push(...await this.#ofEntities(found[0]));
    const { namespace, clock } = this.#options;
    // all places are found before the first request is stored: an invalid one changes nothing
    const places = await Promise.all(
      found.map(async ({ name }) =>
        to === "start" ? 0 : await placeOf(await this.#stream(streamOf(namespace, name)), this.#options, to)
      ),
    );
    for (const [i, { kept, key }] of found.entries()) {
      // the result does not matter: false means that an equal rewind was requested in the same ms
      await storeRequest(kept, key, `rewind-${Math.floor(clock.now())}-${places[i]}`, {
        kind: "rewind",
        to: places[i],
      });
    }
    return found.map(({ name }) => name);
  }

  /**
   * Pauses the subscription of this service and name, or of the queued command of this name, and with it the handlers
   * of events of entities that share the name: the leader hands out no message until {@link Administration.resume}, or
   * for `for` ms. It is kept over restarts and deploys. One that is paused gets the new end and reason. Resolves with
   * the names of those that are paused when that is stored. Rejects with a `TypeError` if no such subscription exists.
   */
  async pause(service: string, name: string, options: PauseOptions = {}): Promise<readonly string[]> {
    checkPauseOptions(options);
    return await this.#set(service, name, ({ paused, ...others }, now) => ({
      ...others,
      paused: pauseOf(options, pauseAt({ paused }, now), now),
    }));
  }

  /** Resumes a subscription, as {@link Administration.pause} names it. Does nothing for one that is not paused. */
  async resume(service: string, name: string): Promise<readonly string[]> {
    return await this.#set(service, name, ({ paused: _, ...others }) => others);
  }

  /** Returns the limits of all subscriptions, sorted by service, subscription and name. */
  async limits(): Promise<readonly LimitInfo[]> {
    const [kept, stored] = [await this.#kept(), await this.stored()];
    if (kept === undefined) return [];
    const [nodes, now] = [await this.nodes(stored), this.#options.clock.now()];
    return (await fewAtOnce(stored, MAX_CONCURRENT_READS, (each) => limitsOf(kept, each, nodes, now))).flat();
  }

  /**
   * Pauses a limit of a subscription, or one of its keys: none of its messages begins until
   * {@link Administration.resumeLimit}, or for `for` ms; others go on. It is kept over restarts and deploys. Resolves
   * when that is stored; rejects with a `TypeError` if there is no such subscription, limit, or limit with keys.
   */
  async pauseLimit(target: LimitTarget, options: LimitPauseOptions = {}): Promise<void> {
    await this.#changeLimit(target, pausedLimit(options), options.key);
  }

  /** Resumes a limit, or one of its keys. Does nothing if it is not paused. */
  async resumeLimit(target: LimitTarget, key?: string): Promise<void> {
    await this.#changeLimit(target, resumedLimit(key));
  }

  /**
   * Has numbers count for a limit in place of the program's, whatever versions are deployed, until
   * {@link Administration.clearLimit}. Numbers that are not given stay as they are.
   */
  async setLimit(target: LimitTarget, numbers: LimitSummary): Promise<void> {
    await this.#changeLimit(target, setNumbers(numbers));
  }

  /** Has a limit be as the program says: all pauses of it and of its keys end, and what was set counts no more. */
  async clearLimit(target: LimitTarget): Promise<void> {
    await this.#changeLimit(target, clearedLimit);
  }

  /**
   * Returns what changes the limit of a subscription of this service and name, or of the queued command of this name;
   * or of the handlers of events of entities that share the name, if only they have a limit of this name.
   */
  limitOf(service: string, name: string, limit: string): LimitControl {
    const change = async (change: LimitChange, key?: string): Promise<void> => {
      const found = await this.#find(service, name, COMMANDS);
      const all = [found, ...await this.#ofEntities(found)];
      const limits = await Promise.all(all.map((each) => this.#limitNames(each)));
      await this.#change(all[Math.max(0, limits.findIndex((names) => names.includes(limit)))], limit, change, key);
    };
    return {
      pause: async (options = {}) => await change(pausedLimit(options), options.key),
      resume: async (options = {}) => {
        checkResumeOptions(options);
        await change(resumedLimit(options.key));
      },
      set: async (settings) => await change(setNumbers(settings)),
      clear: async () => await change(clearedLimit),
    };
  }

  async #limitNames(found: FoundSubscription): Promise<readonly string[]> {
    const now = this.#options.clock.now();
    return (await limitsOf(found.kept, found, await this.nodes([found]), now)).map(({ limit }) => limit);
  }

  async #changeLimit({ service, subscription, limit }: LimitTarget, change: LimitChange, key?: string): Promise<void> {
    await this.#change(await this.#find(service, subscription, service), limit, change, key);
  }

  async #change(found: FoundSubscription, limit: string, change: LimitChange, key?: string): Promise<void> {
    const { service, name: subscription } = found;
    const now = Math.floor(this.#options.clock.now());
    const all = await limitsOf(found.kept, found, await this.nodes([found]), now);
    const known = all.find((each) => each.limit === limit);
    if (known === undefined) {
      const names = all.map((each) => each.limit).join(", ") || "none";
      throw new TypeError(`${label(service, subscription)} has no limit ${limit} at a live node; it has ${names}`);
    }
    if (key !== undefined && !known.isByKey) {
      throw new TypeError(`the limit ${limit} of ${label(service, subscription)} has no keys: pause it as a whole`);
    }
    await setOverrides(found.kept, found.key, (overrides) => withLimit(overrides, limit, change, now));
  }

  async #set(
    service: string,
    name: string,
    change: (overrides: Overrides, now: number) => Overrides,
  ): Promise<readonly string[]> {
    const found = [await this.#find(service, name, COMMANDS)];
    found.push(...await this.#ofEntities(found[0]));
    const now = Math.floor(this.#options.clock.now());
    for (const { kept, key } of found) await setOverrides(kept, key, (overrides) => change(overrides, now));
    return found.map(({ name }) => name);
  }

  /**
   * Removes a subscription that no live node handles, with its parked messages and dead letters. Resolves with the
   * number of both. Rejects with a `TypeError` if the subscription does not exist, or if a node handles it.
   */
  async remove(service: string, name: string): Promise<number> {
    const stored = await this.#find(service, name);
    const { kept, key, sequence, state } = stored;
    const handlers = (await this.nodes([stored])).filter((node) => handles(node, stored));
    if (handlers.length > 0) {
      const nodes = handlers.map(({ id }) => id).join(", ");
      const why = "only one that no live node handles can be removed";
      throw new TypeError(`the subscription ${label(service, name)} is handled by ${nodes}: ${why}`);
    }
    const found = await storedSubscription(kept, key);
    if (found !== undefined && found.sequence !== sequence) {
      throw new CatgaError(
        "UNAVAILABLE",
        `the subscription ${label(service, name)} has a leader again: it was not removed`,
      );
    }
    const { stream, namespace } = kept;
    for (const subject of [parkedSubject, requestSubject]) await stream.purge(subject(namespace, key, "*"));
    for (const subject of [overridesSubject, commitSubject]) await stream.purge(subject(namespace, key));
    return state.parked.size;
  }

  /**
   * Finds the subscription of this service and name; if it does not exist, the subscription of the service `other`
   * with this name. Rejects with a `TypeError` if neither exists.
   */
  async #find(
    service: string,
    name: string,
    other = service,
  ): Promise<FoundSubscription> {
    const kept = await this.#kept();
    const all = kept === undefined ? [] : await storedSubscriptions(kept);
    const of = (its: string, own: string) => all.find(({ key }) => key === subscriptionKey(its, own));
    const found = of(service, name) ?? of(service, name + OF_ENTITIES) ?? of(other, name);
    if (kept !== undefined && found !== undefined) return { ...found, kept };
    const names = all.map((each) => label(each.service, each.name)).join(", ") || "none";
    throw new TypeError(`there is no subscription ${label(service, name)}; there are ${names}`);
  }

  /** Finds the subscription to events of entities whose handlers share the name of this one. */
  async #ofEntities({ service, name, kept }: FoundSubscription): Promise<FoundSubscription[]> {
    const key = subscriptionKey(service, name + OF_ENTITIES);
    const found = await storedSubscription(kept, key);
    return found === undefined ? [] : [{ ...found, kept }];
  }

  async #stream(name: string): Promise<LogStream | undefined> {
    const { namespace, stream, entities } = this.#options;
    return name === streamName(namespace, "entities") ? await entities?.() : await stream();
  }

  async #kept(): Promise<KeptCommits | undefined> {
    const { namespace, clock, kept } = this.#options;
    const stream = await kept();
    return stream && { namespace, clock, stream };
  }
}

function label(service: string, name: string): string {
  return `${service}/${name}`;
}

/** Number of subscriptions of which what operators have set is read at once. */
const MAX_CONCURRENT_READS = 16;
