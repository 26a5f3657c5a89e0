/**
 * Names by which nodes know the subscriptions of each other. A node announces which messages of the log it handles as
 * entries of `NodeInfo.subscriptions`: `<subscription>/<event>`, and `@/<command>` for queued commands. With each entry
 * go the internal contracts (between a subscription's leader and its nodes) that the node handles.
 */
import { type AnyContract, isContractName, isInternalName } from "../declaration/contract.ts";
import { DEFAULT_RETRY } from "../declaration/defaults.ts";

/**
 * Takes the place of the service in the keys of subscriptions to queued commands: each command has one subscription,
 * named after its contract and shared by all services.
 */
export const COMMANDS = "@";

/**
 * Suffix of the name of a subscription to events of entities, after the name that the program gave. These events are in
 * a stream of their own, in which the subscription has its own position and leader.
 */
export const OF_ENTITIES = ":entities";

/**
 * Returns the name by which nodes know the subscription of a handler of this contract. `name`: the name that the
 * program gave the subscription.
 */
export function subscriptionName({ options: { entity } }: AnyContract, name: string): string {
  return entity === undefined ? name : name + OF_ENTITIES;
}

/** How messages of the log are tried again after a failure. */
export interface Retry {
  /** Maximum number of attempts of a message, the first included. */
  readonly attempts: number;
  /** The first and the longest pause between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
}

/** A limit of a subscription's runs over all nodes together, as nodes announce it. */
export interface LimitNumbers {
  /** Maximum number of messages that run at once; `Infinity`: any number. */
  readonly running: number;
  /** Number of messages that begin in {@link LimitNumbers.ms}; `Infinity`: any number. */
  readonly count: number;
  /** Time in which {@link LimitNumbers.count} messages begin, in ms. */
  readonly ms: number;
  /** Number of messages that may begin at once after a pause. */
  readonly burst: number;
}

/** A limit with its name; without one it is of its contract alone. */
export interface NamedLimit extends LimitNumbers {
  /** Name that limits of several contracts share, or the contract's. */
  readonly name: string;
  /** True if each key has the limit for itself; absent: it is one for all messages. */
  readonly isByKey?: true | undefined;
  /**
   * True if another node announces members of the limit that this version does not know: it counts as one for all
   * messages, beside what this node's version has under its name.
   */
  readonly isNewer?: true | undefined;
  /** Returns the key of a payload; absent in a limit that another node announces. */
  readonly key?: ((payload: never) => unknown) | undefined;
  /**
   * Fate of a message that the limit does not let begin, if it does not wait; absent, too, in a limit that another
   * node announces.
   */
  readonly over?: "skip" | "last" | "cancel" | undefined;
}

/** Returns the name of a limit for operators. `i`: its place among the limits of the handler of this contract. */
export function limitName(category: string, { name }: Pick<NamedLimit, "name">, i: number): string {
  return name === "" ? `${category}/${i}` : name; // unambiguous: a name has no slash
}

/** The end of the name of a limit by key in the health of a subscription: one of all messages is another limit. */
export const BY_KEY = " by key";

/** The end of the name of a limit with members that only a newer version knows, in the health of a subscription. */
export const OF_NEWER = " of a newer version";

/** Returns the name that operators use of a limit, of its name in the health of a subscription. */
export function plainLimitName(name: string): string {
  const end = [BY_KEY, OF_NEWER].find((end) => name.endsWith(end));
  return end === undefined ? name : name.slice(0, -end.length);
}

/** Combines the numbers of two nodes for one limit, such as two versions of a program: the smaller ones. */
export function stricter(one: LimitNumbers, other: LimitNumbers): LimitNumbers {
  const running = Math.min(one.running, other.running);
  if (one.count === Infinity) return { ...other, running };
  if (other.count === Infinity) return { ...one, running };
  const { count, ms } = one.count / one.ms <= other.count / other.ms ? one : other;
  return { running, count, ms, burst: Math.min(one.burst, other.burst) };
}

/** How a node handles a contract's messages of the log, as it announces that. */
export interface AnnouncedSettings extends Retry {
  /** Limits over all nodes together; absent: none. */
  readonly limits?: readonly NamedLimit[] | undefined;
  /** Defined if tenants share the handlers, or urgent messages go first: how, at the node itself. */
  readonly fair?: unknown;
}

/**
 * Returns how many functions of tenants and of keys in limits the node with these settings has. A node that has
 * more of them is preferred as the leader: a node of another version may lack some, and then counts all messages as of
 * one key, and knows no tenants.
 */
export function knowledge(settings: Iterable<AnnouncedSettings>): number {
  let sum = 0;
  for (const { limits = [], fair } of settings) {
    if (fair !== undefined) sum++;
    // the numbers of a limit for all messages are known to every node
    for (const { isByKey, isNewer } of limits) if (isByKey || isNewer) sum++;
  }
  return sum;
}

/**
 * Combines the retry settings that two nodes announce for one subscription and contract, such as two versions of a
 * program during a deploy: the greater number of attempts, and the longer pauses.
 */
export function morePatient(one: Retry, other: Retry): Retry {
  return {
    attempts: Math.max(one.attempts, other.attempts),
    delay: one.delay[1] >= other.delay[1] ? one.delay : other.delay,
  };
}

/**
 * Makes the entry of `NodeInfo.subscriptions` for a contract whose stored messages a node handles:
 * `<subscription>/<contract>`, or `@/<contract>` for a queued command. `category`: the contract's name. Retry settings
 * other than the defaults follow another slash: `<attempts>,<first pause>,<longest pause>`. Limits follow another one:
 * `<name>,<running>,<count>,<ms>,<burst>`, with `;` between them; a number that is not limited is left out. One by key
 * ends with `,key`; members that a newer version adds follow as words. `/fair` follows if tenants share the handlers,
 * or urgent messages go first.
 */
export function announcement(
  service: string,
  name: string,
  category: string,
  retry: AnnouncedSettings = DEFAULT_RETRY,
): string {
  const { attempts, delay: [first, longest], limits = [], fair } = retry;
  const usual = attempts === DEFAULT_RETRY.attempts && first === DEFAULT_RETRY.delay[0] &&
    longest === DEFAULT_RETRY.delay[1];
  const text = service === COMMANDS ? `${COMMANDS}/${category}` : `${name}/${category}`;
  if (usual && limits.length === 0 && fair === undefined) return text;
  const more = limits.map(({ name, running, count, ms, burst, isByKey }) => {
    const numbers = [running, count, ms, burst].map((each) => each === Infinity ? "" : each);
    return [name, ...numbers, ...(isByKey ? [KEY] : [])].join(",");
  });
  const retries = `${text}/${attempts},${Math.ceil(first)},${Math.ceil(longest)}`;
  if (fair !== undefined) return `${retries}/${more.join(";")}/${FAIR}`;
  return more.length === 0 ? retries : `${retries}/${more.join(";")}`;
}

/** Returns true if the text is a valid entry of `subscriptions` in a node's record. */
export function isAnnounced(text: string): boolean {
  const [subscription, category = "", retry, limits, others, more] = text.split("/");
  return (subscription === COMMANDS || isToken(subscription)) && isContractName(category) && more === undefined &&
    (retry === undefined || readRetry(retry) !== undefined) &&
    (limits === undefined || (limits === "" && others !== undefined) || readLimits(limits) !== undefined) &&
    (others === undefined || /^[\w-]{1,32}(,[\w-]{1,32}){0,7}$/.test(others));
}

/**
 * Reads an entry of `NodeInfo.subscriptions` that {@link isAnnounced} accepts: returns the subscription and its retry
 * settings. `service`: the service of the node that has the entry.
 */
export function readAnnouncement(
  service: string,
  text: string,
): { readonly service: string; readonly name: string; readonly category: string; readonly retry: AnnouncedSettings } {
  const [name, category, given, more = "", others = ""] = text.split("/");
  const retries = (given === undefined ? undefined : readRetry(given)) ?? DEFAULT_RETRY;
  const limited = more === "" ? retries : { ...retries, limits: readLimits(more) };
  const retry = others.split(",").includes(FAIR) ? { ...limited, fair: true } : limited;
  return name === COMMANDS
    ? { service: COMMANDS, name: category, category, retry }
    : { service, name, category, retry };
}

function readRetry(text: string): Retry | undefined {
  const [, attempts, first, longest] = (/^([1-9]\d{0,8}),(\d{1,10}),(\d{1,10})$/.exec(text) ?? []).map(Number);
  return attempts === undefined || first > longest ? undefined : { attempts, delay: [first, longest] };
}

function readLimits(text: string): readonly NamedLimit[] | undefined {
  const limits: NamedLimit[] = [];
  for (const each of text.split(";")) {
    const [, name, numbers, words = ""] =
      /^([\w-]{0,64}),((?:\d{0,9},){3}\d{1,9})((?:,[A-Za-z][\w.:-]{0,63}){0,8})$/.exec(each) ?? [];
    if (name === undefined || limits.length === MAX_LIMITS) return undefined;
    const [running, count, ms, burst] = numbers.split(",").map((number) => number === "" ? Infinity : Number(number));
    if (running === 0 || count === 0 || ms === 0 || burst === 0) return undefined;
    const [, ...members] = words.split(",");
    const isNewer = members.some((member) => member !== KEY);
    const how = isNewer ? { isNewer: true as const } : members.length > 0 ? { isByKey: true as const } : {};
    limits.push({ name, running, count, ms, burst, ...how });
  }
  return limits;
}

/** Words of announcements: of a limit by key, and of a handler whose messages are not taken in the order of the log. */
const [KEY, FAIR] = ["key", "fair"];

/** Maximum number of limits of a handler. */
export const MAX_LIMITS = 8;

/**
 * Returns the names of the internal contracts (between a subscription's leader and its nodes) that a node of a service
 * handles if its record has the entry `text`.
 */
export function internalNames(service: string, text: string): readonly string[] {
  const { service: owner, name, category } = readAnnouncement(service, text);
  return [runName(owner, name, category), controlName(owner, name)];
}

/**
 * Returns the name of the internal contract with which the leader of the subscription `name` sends stored messages to
 * the nodes that handle them. `category`: the name of the messages' own contract.
 */
export function runName(service: string, name: string, category: string): string {
  return `@${service}/${name}/${category}`;
}

/**
 * Returns the name of the internal contract with which a subscription's leader asks each node of the subscription to
 * refuse messages of earlier leaders (a barrier).
 */
export function controlName(service: string, name: string): string {
  return `@${service}/${name}`;
}

/** Returns true if a text is the name of an internal contract between a subscription's leader and its nodes. */
export function isInternalContract(text: string): boolean {
  if (!isInternalName(text)) return false;
  const [service, name, category, ...more] = text.slice(1).split("/");
  return (service === COMMANDS || isToken(service)) && name !== undefined && (isContractName(name) || isToken(name)) &&
    (category === undefined || isContractName(category)) && more.length === 0;
}

/**
 * Text in the `details` of a failure. It says that a message of the log was not run, so that this attempt is not
 * counted. If the message was part of a batch, it is then given to a handler alone; if it was alone, it goes to another
 * node.
 */
export const ALONE = "~alone";

/**
 * Text in the `details` of a failure of a workflow's internal handler. It says that no running version of the workflow
 * accepts this message of the log, which waits for another version.
 */
export const AWAITS_VERSION = "~awaits version";

/** Returns true if a text is a valid name of a subscription: one token. */
function isToken(text: string): boolean {
  return /^[\w-]{1,256}(:entities)?$/.test(text);
}
