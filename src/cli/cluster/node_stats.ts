/**
 * Parses the statistics in a node's answer. The answer may be anything: each field is checked, and unknown fields are
 * dropped.
 */
import { isEndpoint, nodeOf } from "../../contract/nodes/subjects.ts";
import { type Alarm, ALARM_KINDS, type UnreadableEntity } from "../../contract/nodes/alarms.ts";
import type { LimitHealth, WaitingKey } from "../../contract/nodes/node_info.ts";
import { isContractName } from "../../contract/declaration/contract.ts";
import type { ContractStats, LedLimits, NodeStats, PeerStats } from "../../contract/nodes/node_stats.ts";
import { isCount, isNotNegative, isRecord } from "../../data/checks.ts";
import { LATENCY_BUCKETS } from "../../data/latency_buckets.ts";

/**
 * Returns the statistics in the answer of the process at this endpoint, or a string that says why the answer is
 * malformed. Counts that the answer leaves out are 0, and lists that it leaves out are empty.
 */
export function readNodeStats(endpoint: string, answer: unknown): NodeStats | string {
  if (!isRecord(answer)) return "the answer is not an object";
  if (answer.endpoint !== endpoint) return "it is of another process";
  const { now, up, service, process } = answer;
  if (!isNotNegative(now) || !isNotNegative(up)) return "now or up is not a time";
  if (typeof service !== "string") return "service is not a string";
  if (!isRecord(process) || !isNotNegative(process.rss) || !isNotNegative(process.cpu)) return "process is malformed";
  const contracts = readList(answer.contracts, readContract, MAX_CONTRACTS);
  if (contracts === undefined) return "contracts are malformed";
  const peers = readList(answer.peers, readPeer, MAX_PEERS);
  if (peers === undefined) return "peers are malformed";
  const leads = readList(answer.leads, (name) => typeof name === "string" ? name : undefined, MAX_LEADS);
  if (leads === undefined) return "leads are malformed";
  const alarms = readList(answer.alarms, readAlarm, MAX_ALARMS);
  if (alarms === undefined) return "alarms are malformed";
  const limits = readList(answer.limits, readLedLimits, MAX_LED);
  if (limits === undefined) return "limits are malformed";
  const unreadable = readList(answer.unreadable, readUnreadable, MAX_UNREADABLE);
  if (unreadable === undefined) return "unreadable is malformed";
  const counts = readCounts(answer, ["inFlight", "queued", "locks", "cycles", "moreContracts"]);
  if (counts === undefined) return "a count is malformed";
  return {
    ...{ id: nodeOf(endpoint), endpoint, service, now, up },
    ...counts,
    ...{ contracts, peers, leads },
    ...(alarms.length === 0 ? {} : { alarms }),
    ...(limits.length === 0 ? {} : { limits }),
    ...(unreadable.length === 0 ? {} : { unreadable }),
    process: { rss: process.rss, cpu: process.cpu },
  };
}

function readContract(given: unknown): ContractStats | undefined {
  if (!isRecord(given)) return undefined;
  const { name, kind, failure, latency = [] } = given;
  if (typeof name !== "string" || !isContractName(name)) return undefined;
  if (kind !== "command" && kind !== "query" && kind !== "event" && kind !== "stream") return undefined;
  const counts = readCounts(given, ["handled", "inHand", "queued", "sent", "heard", "published"]);
  const [failed, sendFailed] = [readCodes(given.failed), readCodes(given.sendFailed)];
  if (counts === undefined || failed === undefined || sendFailed === undefined) return undefined;
  if (!Array.isArray(latency) || latency.length > LATENCY_BUCKETS || !latency.every(isCount)) return undefined;
  if (failure !== undefined && typeof failure !== "string") return undefined;
  const last = failure === undefined ? {} : { failure: failure.slice(0, 400) };
  return { name, kind, ...counts, failed, ...last, sendFailed, latency };
}

function readAlarm(given: unknown): Alarm | undefined {
  if (!isRecord(given)) return undefined;
  const { about, severity, message, since, count, docs } = given;
  const kind = ALARM_KINDS.find((each) => each === given.kind);
  if (kind === undefined || (severity !== "error" && severity !== "warning")) return undefined;
  if (typeof about !== "string" || typeof message !== "string" || typeof docs !== "string") return undefined;
  if (!isNotNegative(since) || !isNotNegative(count)) return undefined;
  return { kind, about: about.slice(0, 400), severity, message: message.slice(0, 2_000), since, count, docs };
}

function readLedLimits(given: unknown): LedLimits | undefined {
  if (!isRecord(given) || typeof given.subscription !== "string") return undefined;
  const limits = readList(given.limits, readLimit, MAX_LIMITS_OF_ONE);
  return limits && { subscription: given.subscription.slice(0, 1_024), limits };
}

function readLimit(given: unknown): LimitHealth | undefined {
  if (!isRecord(given) || typeof given.name !== "string") return undefined;
  const counts = readCounts(given, ["running", "waiting"]);
  const waits = readList(given.waits, readWaitingKey, MAX_WAITING_KEYS);
  if (counts === undefined || waits === undefined) return undefined;
  const { name, pausedFor, keys } = given;
  return {
    ...{ name: name.slice(0, 1_024), ...counts },
    ...(isNotNegative(pausedFor) && { pausedFor }),
    ...(isCount(keys) && { keys }),
    ...(waits.length > 0 && { waits }),
  };
}

function readWaitingKey(given: unknown): WaitingKey | undefined {
  if (!isRecord(given) || typeof given.key !== "string") return undefined;
  const counts = readCounts(given, ["running", "waiting"]);
  return counts && { key: given.key.slice(0, 1_024), ...counts };
}

function readUnreadable(given: unknown): UnreadableEntity | undefined {
  if (!isRecord(given)) return undefined;
  const { entity, id, since, why } = given;
  if (typeof entity !== "string" || typeof id !== "string" || typeof why !== "string") return undefined;
  if (!isNotNegative(since)) return undefined;
  return { entity: entity.slice(0, 64), id: id.slice(0, 256), since, why: why.slice(0, 400) };
}

function readPeer(given: unknown): PeerStats | undefined {
  if (!isRecord(given)) return undefined;
  const { endpoint } = given;
  if (typeof endpoint !== "string" || !isEndpoint(endpoint)) return undefined;
  const counts = readCounts(given, ["sent", "answered", "failed"]);
  return counts && { id: nodeOf(endpoint), endpoint, ...counts };
}

/** Parses the counts with these names from an answer; counts that are left out are 0. */
function readCounts<Name extends string>(
  given: Readonly<Record<string, unknown>>,
  names: readonly Name[],
): Record<Name, number> | undefined {
  const counts = Object.create(null) as Record<Name, number>; // cast: all fields are filled below
  for (const name of names) {
    const count = given[name] ?? 0;
    if (!isCount(count)) return undefined;
    counts[name] = count;
  }
  return counts;
}

/** Parses counts by error code from an answer; `undefined`: malformed. */
function readCodes(given: unknown = {}): Record<string, number> | undefined {
  if (!isRecord(given)) return undefined;
  const codes = Object.entries(given);
  if (codes.length > MAX_CODES || !codes.every(([, count]) => isCount(count))) return undefined;
  // an object without a prototype, because an error code may be `__proto__`
  const read: Record<string, number> = Object.create(null);
  for (const [code, count] of codes) read[code] = count as number; // cast: each count was checked above
  return read;
}

/**
 * Parses a list of an answer, each item with `read`. Returns `undefined` if the list or an item is malformed, or if
 * there are more than `most` items.
 */
function readList<T>(given: unknown, read: (item: unknown) => T | undefined, most: number): T[] | undefined {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length > most) return undefined;
  const items: T[] = [];
  for (const item of given) {
    const known = read(item);
    if (known === undefined) return undefined;
    items.push(known);
  }
  return items;
}

const MAX_CONTRACTS = 16_384;
const MAX_PEERS = 65_536;
const MAX_ALARMS = 50;
const MAX_UNREADABLE = 200;
const MAX_LED = 4_096;
const MAX_LIMITS_OF_ONE = 1_024;
const MAX_WAITING_KEYS = 10;
const MAX_LEADS = 16_384;
const MAX_CODES = 65;
