/**
 * Computes the state of subscriptions for operators: from the subscriptions' commits, the streams that they read, and
 * the live nodes.
 */
import { readAnnouncement } from "../../contract/nodes/announcement.ts";
import type { SubscriptionInfo } from "../../contract/calls/durable_messages.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { fewAtOnce } from "../../data/gate.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogState, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { endsIn } from "../format/logged_message.ts";
import { limitsAt, NO_OVERRIDES, pauseAt } from "../format/overrides.ts";
import {
  categoryPattern,
  messagePattern,
  overridesSubject,
  readOverridesSubject,
  requestSubject,
  streamOf,
} from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";
import { lagOf, sequenceOf } from "../format/group_text.ts";
import { overridesOf } from "./set_overrides.ts";
import type { StoredSubscription } from "./stored_subscriptions.ts";

/** Arguments of {@link subscriptionInfos}. */
export interface InfoSources {
  readonly namespace: string;
  readonly clock: Clock;
  /** The stream in which the state of subscriptions is stored. */
  readonly kept: LogStream;
  /** Streams of the log and of entities; `undefined`: the stream does not exist. */
  readonly streams: readonly (LogStream | undefined)[];
  readonly nodes: readonly NodeInfo[];
  readonly stored: readonly StoredSubscription[];
}

/**
 * Returns the state of each stored subscription, in the given order.
 * @decides lag, open and oldest of `app.subscriptions()`
 */
export async function subscriptionInfos(sources: InfoSources): Promise<readonly SubscriptionInfo[]> {
  const { namespace } = sources;
  const logs = new Map<string, LogView>();
  for (const stream of sources.streams) {
    const state = await stream?.state();
    if (stream !== undefined && state !== undefined) logs.set(stream.name, new LogView(namespace, stream, state));
  }
  const view = ({ name }: StoredSubscription) => logs.get(streamOf(namespace, name));
  const set = await sources.kept.subjects(overridesSubject(namespace, ">"));
  const overridden = new Set(set.flatMap((subject) => readOverridesSubject(namespace, subject) ?? []));
  return Object.freeze(
    await fewAtOnce(sources.stored, MAX_CONCURRENT_READS, (each) => infoOf(each, sources, view(each), overridden)),
  );
}

/** Returns true if a node handles a subscription: the node announces the subscription, or is its last leader. */
export function handles(node: NodeInfo, { service, name, state }: StoredSubscription): boolean {
  return announced(node, service, name).length > 0 || node.endpoint === state.head.leader;
}

/** Returns the names of the contracts of a subscription that the node announces to handle. */
export function announced(node: NodeInfo, service: string, name: string): string[] {
  return (node.subscriptions ?? []).map((text) => readAnnouncement(node.service, text))
    .filter((about) => about.service === service && about.name === name).map(({ category }) => category);
}

async function infoOf(
  stored: StoredSubscription,
  { namespace, clock, kept, nodes }: InfoSources,
  log: LogView | undefined,
  overridden: ReadonlySet<string>,
): Promise<SubscriptionInfo> {
  const { key, service, name, state: { head, parked } } = stored;
  const { began, leader, place, open, left = [], passed = [] } = head;
  const handled = [...new Set(nodes.flatMap((node) => announced(node, service, name)))];
  const contracts = (handled.length > 0 ? handled : Object.keys(began)).sort();
  const isSame = log === undefined || place.created === log.state.created;
  const read = isSame ? place.read : 0;
  const unhandled = isSame ? open : [];
  const waiting = [...parked.values()].filter(({ dead }) => dead === 0);
  const unread: StoredMessage[] = [];
  const [furthest] = [...left].sort(([, , a], [, , b]) => a - b);
  let lag = 0;
  if (log !== undefined) {
    // messages stored before the subscription began to read a contract are not counted
    const behind = (await Promise.all(contracts.map((category) =>
      log.behind(category, Math.max(read, began[category] ?? 0))
    )))
      .filter((each) => each !== undefined);
    const passedFrom = passed.length === 0 ? read : passed[0][0] - 1;
    const slowest = isSame ? Math.min(read, passedFrom, ...left.map(([, , from]) => from)) : read;
    const last = Math.max(0, ...behind.map(({ last }) => last), slowest < read ? sequenceOf(read) : 0);
    lag = Math.max(0, lagOf(slowest, { first: log.state.first, last }));
    unread.push(...behind.map(({ first }) => first));
    const [first] = unhandled;
    const oldest = first && await log.at(sequenceOf(first[0]));
    if (oldest !== undefined) unread.push(oldest);
    // messages that are left behind, or were passed by, expire with the log
    const behindFrom = [
      ...(furthest === undefined ? [] : [furthest[2] + 1]),
      ...passed.slice(0, 1).map(([from]) => from),
    ];
    for (const position of isSame ? behindFrom : []) {
      const behindAt = await log.at(sequenceOf(position));
      if (behindAt !== undefined) unread.push(behindAt);
    }
  }
  const now = log?.state.now ?? clock.now();
  const times = [...waiting, ...unread].map(({ time }) => time);
  const ends = unread.flatMap((message) => {
    const group = readGroup(namespace, message);
    return isReadable(group) && group.length > 0 ? endsIn(group[0], now) ?? [] : [];
  });
  const requests = await kept.read(requestSubject(namespace, key, "*"), { from: head.requests + 1, most: 1 });
  const overrides = overridden.has(key) ? await overridesOf({ namespace, clock, stream: kept }, key) : NO_OVERRIDES;
  const limits = limitsAt(overrides, now);
  return Object.freeze({
    service,
    name,
    contracts: Object.freeze(contracts),
    position: read,
    lag,
    open: unhandled.length,
    oldest: times.length === 0 ? 0 : Math.max(0, Math.round(now - Math.min(...times))),
    ends: ends.length === 0 ? undefined : Math.min(...ends),
    retrying: waiting.length,
    dead: parked.size - waiting.length,
    skipped: head.skipped,
    behind: isSame && furthest !== undefined
      ? Object.freeze({ count: left.length, contract: furthest[0], key: furthest[1] })
      : undefined,
    leader: nodes.find(({ endpoint }) => endpoint === leader)?.id,
    abandoned: !nodes.some((node) => handles(node, stored)),
    requested: requests.length > 0,
    paused: pauseAt(overrides, now),
    ...(limits.length > 0 && { overrides: limits }),
  });
}

/** A stream and its state. The last message of each contract is read once for all subscriptions. */
class LogView {
  readonly state: LogState;
  readonly #namespace: string;
  readonly #stream: LogStream;
  readonly #last = new Map<string, Promise<StoredMessage | undefined>>();

  constructor(namespace: string, stream: LogStream, state: LogState) {
    this.#namespace = namespace;
    this.#stream = stream;
    this.state = state;
  }

  /**
   * Returns the sequence of a contract's last message, and the contract's first message behind a position; `undefined`:
   * the contract has no message behind that position.
   */
  async behind(category: string, position: number): Promise<{ last: number; first: StoredMessage } | undefined> {
    const subject = categoryPattern(this.#namespace, this.#stream.name, category);
    if (this.#stream.name === streamName(this.#namespace, "entities")) {
      const [first] = await this.#stream.read(subject, { from: sequenceOf(position) + 1, most: 1 });
      return first && { last: this.state.last, first };
    }
    let asked = this.#last.get(category);
    if (asked === undefined) this.#last.set(category, asked = this.#stream.last(subject));
    const last = await asked;
    if (last === undefined || last.sequence <= sequenceOf(position)) return undefined;
    const [first = last] = await this.#stream.read(subject, { from: sequenceOf(position) + 1, most: 1 });
    return { last: last.sequence, first };
  }

  /** Reads the message with this sequence or, if there is none, the next message of the stream. */
  async at(sequence: number): Promise<StoredMessage | undefined> {
    return (await this.#stream.read(messagePattern(this.#namespace, this.#stream.name), { from: sequence, most: 1 }))[
      0
    ];
  }
}

/** Number of subscriptions for which the stream is read at once. */
const MAX_CONCURRENT_READS = 16;
