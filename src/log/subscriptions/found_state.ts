/** State that a new leader finds: stored messages, and those that run at nodes. */
import { delay } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { messageId, readMessageId, type StoredState } from "../format/commit.ts";
import { isReadable, readGroup } from "../format/group.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { messagePattern } from "../format/names.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import type { LogHost } from "../log_host.ts";
import { barrier } from "./barrier.ts";
import type { CapableNode } from "./leader_election.ts";
import type { Categories } from "./categories.ts";
import type { Commits } from "./commits.ts";
import type { Found, FoundMessage } from "./ledger.ts";
import { garbageMessage } from "./reading.ts";
import { type ListedMessage, readAgain, type SubscriptionStore } from "./store.ts";
import { storedMessages } from "./stored_positions.ts";

/** Options of {@link takeOver}. */
export interface TakeoverOptions {
  readonly host: LogHost;
  readonly stream: LogStream;
  readonly service: string;
  readonly name: string;
  readonly store: SubscriptionStore;
  readonly commits: Commits;
  readonly categories: Categories;
  /** True if the last leader ended without a word. */
  readonly unclean: boolean;
  /** True if nothing may run any more before it begins: after a rewind. */
  readonly fresh: boolean;
  nodes(): readonly CapableNode[];
  readonly signal: AbortSignal;
  fault(error: unknown): void;
}

/** State after a takeover. */
export interface TakenOver {
  readonly found: Omit<Found, "now">;
  /** Identities under which something is stored that is not parked. */
  readonly garbage: readonly string[];
}

/** `undefined`: another leads. Rejects when the signal aborts. */
export async function takeOver(options: TakeoverOptions): Promise<TakenOver | undefined> {
  const { host, service, name, commits, store, unclean, fresh, nodes, signal } = options;
  const { clock } = host;
  let runs = await barrier({ host, service, name, token: commits.token, nodes, signal });
  // after a rewind the same messages are handed out again: what runs still is not the run that is meant
  for (let waits = 0; fresh && runs.running.size > 0 && waits < WAITS; waits++) {
    await delay(clock, WAIT, signal);
    runs = await barrier({ host, service, name, token: commits.token, nodes, signal });
  }
  const stored = await store.carryOut(commits.read());
  if (stored === undefined) return undefined;
  const { found: parked, garbage } = await store.listed(new Set(stored.parked.keys()));
  const { messages: inLog, end } = await read(options, stored, parked, runs.running);
  return { found: { stored, messages: new Map([...inLog, ...parked]), ...runs, unclean, end }, garbage };
}

interface InLog {
  readonly messages: ReadonlyMap<string, FoundMessage>;
  /** The log goes up to this position. */
  readonly end: number;
}

/** The messages in the log of what is open, what runs, and what is parked and not stored. */
async function read(
  { host: { clock, namespace }, stream, unclean, signal, fault }: TakeoverOptions,
  { head, parked }: StoredState,
  listed: ReadonlyMap<string, ListedMessage>,
  running: ReadonlyMap<string, string>,
): Promise<InLog> {
  const messages = new Map<string, FoundMessage>();
  const { place } = head;
  const open = new Set(head.open.map(([position]) => position));
  const wanted = new Set([...running.keys(), ...parked.keys()].filter((id) => !listed.has(id)));
  const positions = new Set([...open, ...[...wanted].map((id) => readMessageId(id)!.position)]);
  if (positions.size === 0 && !unclean) return { messages, end: 0 };
  const state = await readAgain({ clock, signal, fault }, () => stream.state());
  const end = state === undefined ? 0 : endOf(state.last);
  // another stream: its positions are those of other messages
  if (state === undefined || state.created !== place.created) return { messages, end };
  const last = state.last;
  const sequences = [...new Set([...positions].map(sequenceOf).filter((each) => each <= last))].sort((a, b) => a - b);
  const subject = messagePattern(namespace, stream.name);
  const take = (message: LoggedMessage, unreadable?: string) => {
    const id = messageId(message);
    // behind the place another message may have the position since then
    const isOpen = open.has(message.position) && (place.time === 0 || message.time <= place.time);
    if (isOpen || wanted.has(id)) messages.set(id, { in: "log", message, unreadable });
  };
  for (const each of await storedMessages({ stream, clock, subject, sequences, signal, fault })) {
    const group = readGroup(namespace, each);
    if (isReadable(group)) { for (const message of group) take(message); }
    else take(garbageMessage(namespace, each, Object.keys(head.began)), group.reason);
  }
  return { messages, end };
}

const WAIT = 1_000; // ms
const WAITS = 60;
