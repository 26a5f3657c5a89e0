/** What a new leader makes of its predecessor's record, and of what its nodes run already. */
import { delay } from "../../ports/clock.ts";
import type { LogState, LogStream } from "../../ports/event_log.ts";
import { isReadable, readGroup } from "../format/group.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { messagePattern } from "../format/names.ts";
import { sequenceOf } from "../format/position.ts";
import { type OpenEntry, RUNNING, SPARED } from "../format/open_positions.ts";
import type { StreamProgress } from "../format/subscription_record.ts";
import type { LogHost } from "../log_host.ts";
import type { Parking } from "../parking/parking.ts";
import type { Categories } from "./categories.ts";
import { type Category, OpenItem } from "./category.ts";
import { garbageMessage } from "./reading.ts";
import { storedMessages } from "./stored_positions.ts";

/** What {@link recovered} needs. */
export interface RecoveryOptions {
  readonly host: Pick<LogHost, "clock" | "namespace">;
  readonly stream: LogStream;
  /** What the record says of the stream. */
  readonly progress: StreamProgress | undefined;
  /** Positions that run, and on which node. */
  readonly running: ReadonlyMap<number, string>;
  /** Whether the last leader recorded all that it began: it handed over. */
  readonly complete: boolean;
  readonly parking: Pick<Parking, "has">;
  readonly categories: Categories;
  readonly signal: AbortSignal;
  fault(error: unknown): void;
}

/** What there is to be handed out before the log is read on. */
export interface Recovered {
  /** Those that run come first, then by position. */
  readonly items: readonly OpenItem[];
  /** Those that run, by positions that are still to be read. */
  readonly ahead: ReadonlyMap<number, OpenItem>;
  /** Those that cannot be read, and why. */
  readonly garbage: readonly { readonly message: LoggedMessage; readonly reason: string }[];
  /** Those of `items` that ran when the last leader ended, and run no more: one of them may have ended it. */
  readonly suspects: ReadonlySet<OpenItem>;
  /** Messages up to this sequence may have been begun by the last leader. */
  readonly last: number;
  /** How many the log has no longer. */
  readonly lost: number;
}

/** Reads what is open, and what runs. Rejects when the signal aborts. */
export async function recovered(options: RecoveryOptions): Promise<Recovered> {
  const { host: { clock, namespace }, stream, progress, running, complete, parking, categories, signal } = options;
  const items: OpenItem[] = [];
  const ahead = new Map<number, OpenItem>();
  const garbage: { message: LoggedMessage; reason: string }[] = [];
  const suspects = new Set<OpenItem>();
  const entries = (progress?.open ?? []).filter(([position]) => !parking.has(position));
  const open = new Map(entries.map((entry) => [entry[0], entry]));
  const read = progress?.read ?? 0;
  // a run of a position that is done by the record, or parked, is none of this
  const runs = new Map(
    [...running].filter(([position]) => open.has(position) || (position > read && !parking.has(position))),
  );
  if (open.size + runs.size === 0 && complete) return { items, ahead, garbage, suspects, last: 0, lost: 0 };
  const state = await stateOf(options);
  const last = state?.last ?? 0;
  const same = state !== undefined && state.created === progress?.created;
  // another stream: its positions are others
  if (!same) return { items, ahead, garbage, suspects, last, lost: open.size };
  const positions = [...new Set([...open.keys(), ...runs.keys()])].filter((each) => sequenceOf(each) <= last);
  const sequences = [...new Set(positions.map(sequenceOf))].sort((a, b) => a - b);
  const subject = messagePattern(namespace, stream.name);
  const stored = await storedMessages({
    stream,
    clock,
    subject,
    sequences,
    signal,
    fault: (error) => options.fault(error),
  });
  const messages = new Map<number, LoggedMessage>();
  for (const each of stored) {
    const group = readGroup(namespace, each);
    if (isReadable(group)) { for (const message of group) messages.set(message.position, message); }
    else if (open.delete(garbageMessage(namespace, each).position)) {
      garbage.push({ message: garbageMessage(namespace, each), reason: group.reason });
    }
  }
  for (const [position, node] of [...runs].sort(([a], [b]) => a - b)) {
    const message = messages.get(position);
    if (message === undefined) continue;
    const category = categories.of(message.category);
    if (category.passes(message)) continue;
    const entry = open.get(position);
    const [, attempts, was] = entry ?? [position, 0, 0];
    // the attempt that goes on is begun again by joining it
    const item = new OpenItem(message, category, (was & RUNNING) > 0 ? Math.max(0, attempts - 1) : attempts);
    item.spared = (was & SPARED) > 0;
    item.node = node;
    const { key } = message;
    if (key !== undefined && !category.doneBelow.has(key)) category.doneBelow.set(key, position);
    if (!open.delete(position)) ahead.set(position, item);
    else items.push(item);
  }
  let lost = 0;
  for (const entry of open.values()) {
    const message = messages.get(entry[0]);
    if (message === undefined) {
      lost++;
      continue;
    }
    const category = categories.of(message.category);
    // a rewind has left out what nobody handles any more
    if (!categories.has(category.name) || category.passes(message)) continue;
    const item = leftOpen(message, category, entry, complete);
    items.push(item);
    if ((entry[2] & RUNNING) > 0) suspects.add(item);
  }
  return { items, ahead, garbage, suspects, last, lost };
}

/**
 * A message that the last leader left. The outcome of an attempt that was under way went with that leader: once for each message that
 * attempt does not count, because most are innocent. A leader that ended may have begun one without recording it: that is this one, too.
 */
function leftOpen(message: LoggedMessage, category: Category, [, attempts, was]: OpenEntry, complete: boolean) {
  const [ran, spared] = [(was & RUNNING) > 0, (was & SPARED) > 0];
  const item = new OpenItem(message, category, ran && !spared ? Math.max(0, attempts - 1) : attempts);
  item.spared = spared || ran || !complete;
  item.doubt = item.spared;
  return item;
}

/** The state of the stream, when it can be had; `undefined`: there is no such stream. */
async function stateOf({ stream, host: { clock }, signal, fault }: RecoveryOptions): Promise<LogState | undefined> {
  for (;;) {
    try {
      const state = await stream.state();
      signal.throwIfAborted();
      return state;
    } catch (error) {
      signal.throwIfAborted();
      fault(error);
      await delay(clock, PAUSE, signal);
    }
  }
}

const PAUSE = 500; // ms
