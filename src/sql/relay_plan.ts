/**
 * Decisions of the relay of an outbox, as functions of values: which rows are sent as one message of the stream, what
 * waits for what, and what follows an attempt. `relay.ts` carries it out.
 */
import type { RecordedMessage } from "../contract/nodes/attached_store.ts";
import type { Appended } from "../ports/event_log.ts";
import type { Result } from "../contract/calls/result.ts";
import { MAX_ITEMS_IN_GROUP } from "../log/format/group_text.ts";

/** Kind of a row of the outbox. */
export type RecordedKind = "event" | "command" | "start" | "tell";

/** Returns true if a row is a call about a run: it is repeated with its own id, whether or not the run has it. */
export function isCall(kind: RecordedKind): boolean {
  return kind === "start" || kind === "tell";
}

/** A row of the outbox. */
export interface OutboxRow {
  /** Its number: of rows of one lane, in the order of their commits. */
  readonly n: string;
  readonly kind: RecordedKind;
  readonly contract: string;
  readonly key: string | null;
  readonly id: string;
  readonly body: string;
  readonly head: string;
}

/**
 * Rows that are stored in the log together, or not at all: a message of the stream, or one call about a run. Its
 * members are noted in the database before it is first sent, and it is sent again with the same members under the same
 * id.
 */
export interface Parcel {
  readonly id: string;
  readonly rows: readonly OutboxRow[];
  /** Sequence of the log behind which it stands if it is stored. */
  readonly after: number;
  /** True if an earlier attempt, of this relay or another one, may have stored it; never of a call about a run. */
  readonly doubtful: boolean;
}

/**
 * Returns what a row keeps the order with: events and commands of one contract and key; the start and the signals of a
 * run. `null`: it has no order.
 */
export function laneOf({ kind, contract, key }: Pick<OutboxRow, "kind" | "contract" | "key">): string | null {
  if (isCall(kind)) return `run\n${contract}\n${key}`;
  return key === null ? null : `${kind}\n${contract}\n${key}`;
}

/** Settings of messages that share a message of the stream. */
interface RecordedHead {
  /** Time for which the log keeps the message, in ms; 0: for ever. */
  readonly keep: number;
  readonly shape?: string | undefined;
  /** True if the program gave the row its id: then the row is a message by itself, recognized by that id. */
  readonly given: boolean;
}

/** Limits of a message of the stream. */
export interface PackLimits {
  readonly items: number;
  readonly chars: number;
}

/** Limits by default: those of `publish`. */
export const PACK_LIMITS: PackLimits = { items: MAX_ITEMS_IN_GROUP, chars: 65_536 };

/**
 * Packs rows, in the order of their numbers, into parcels: events of one contract together, as far as that keeps the
 * order of each lane. `name`: makes the id of a parcel.
 */
export function packed(
  rows: readonly OutboxRow[],
  { after, name, limits = PACK_LIMITS }: {
    readonly after: number;
    readonly name: () => string;
    readonly limits?: PackLimits;
  },
): Parcel[] {
  const made: { readonly rows: OutboxRow[]; chars: number }[] = [];
  /** By what its rows share: index of the parcel that takes more of them. */
  const open = new Map<string, number>();
  /** By lane: index of the last parcel with a row of it. */
  const last = new Map<string, number>();
  for (const row of rows) {
    const lane = laneOf(row);
    const kin = kinOf(row);
    const into = kin === undefined ? undefined : open.get(kin);
    const parcel = into === undefined ? undefined : made[into];
    const hasRoom = parcel !== undefined && parcel.rows.length < limits.items &&
      parcel.chars + row.body.length <= limits.chars;
    // a row never goes before a row of its lane
    if (hasRoom && (lane === null || (last.get(lane) ?? 0) <= into!)) {
      parcel.rows.push(row);
      parcel.chars += row.body.length;
      if (lane !== null) last.set(lane, into!);
      continue;
    }
    const index = made.push({ rows: [row], chars: row.body.length }) - 1;
    if (kin !== undefined) open.set(kin, index);
    if (lane !== null) last.set(lane, index);
  }
  return made.map(({ rows }) => ({ id: name(), rows, after, doubtful: false }));
}

/** Returns what rows of one message share; `undefined`: the row is a message by itself. */
function kinOf({ kind, contract, head }: OutboxRow): string | undefined {
  if (isCall(kind)) return undefined;
  return readHead(head).given ? undefined : `${kind}\n${contract}\n${head}`;
}

function readHead(head: string): RecordedHead {
  return JSON.parse(head) as RecordedHead; // the store has written it
}

/** Returns the message of the stream that a parcel of events or commands is. */
export function messageOf({ id, rows }: Parcel): RecordedMessage {
  const [{ kind, contract, head, id: given }] = rows;
  const { keep, shape, given: isGiven } = readHead(head);
  return {
    kind: kind === "command" ? "command" : "event",
    contract,
    items: rows.map(({ body }) => body),
    id: isGiven ? { given } : { made: id },
    keep: keep === 0 ? Infinity : keep,
    shape,
  };
}

/**
 * Returns, for each parcel, the indexes of those that must be stored before it is sent: the last one before it of each
 * of its lanes.
 */
export function waits(parcels: readonly Parcel[]): readonly (readonly number[])[] {
  const last = new Map<string, number>();
  return parcels.map(({ rows }, index) => {
    const before = new Set<number>();
    for (const row of rows) {
      const lane = laneOf(row);
      if (lane === null) continue;
      const known = last.get(lane);
      if (known !== undefined && known !== index) before.add(known);
      last.set(lane, index);
    }
    return [...before];
  });
}

/** Outcome of an attempt to send a parcel. */
export type Fate =
  /** The log has it. */
  | { readonly type: "stored" }
  /** The log does not have the parcel, or that is not known; it is tried again. */
  | { readonly type: "later"; readonly isUnknown: boolean; readonly why: string }
  /** The parcel can never be stored. */
  | { readonly type: "refused"; readonly why: string };

/** Returns what an attempt to append a message of the stream means. */
export function fateOf(appended: Appended): Fate {
  switch (appended.type) {
    case "stored":
      return { type: "stored" };
    case "conflict":
      return { type: "later", isUnknown: false, why: "a conflict" };
    case "unknown":
      return { type: "later", isUnknown: true, why: `${appended.error.code}: ${appended.error.message}` };
    case "not stored":
      return refusedOrLater(appended.error.code, appended.error.message);
  }
}

/** Returns what the result of a start or a signal means. */
export function fateOfCall(result: Result<unknown>): Fate {
  if (result.ok) return { type: "stored" };
  const { code, message } = result.error;
  // it is repeated with its own id, whether or not the run has it
  return refusedOrLater(code, message);
}

function refusedOrLater(code: string, message: string): Fate {
  const why = `${code}: ${message}`;
  return REFUSALS.has(code) ? { type: "refused", why } : { type: "later", isUnknown: false, why };
}

/** Codes of failures that no other attempt would mend. */
const REFUSALS: ReadonlySet<string> = new Set(["INVALID_MESSAGE", "TOO_LARGE", "ID_REUSED", "NO_RUN"]);

/**
 * A parcel as it is noted in the database: its id, the sequence behind which it stands, and the numbers of its rows.
 */
type NotedParcel = readonly [id: string, after: number, ns: readonly string[]];

/** Returns the note about parcels that are under way. */
export function noteOf(parcels: readonly Parcel[]): string {
  return JSON.stringify(parcels.map(({ id, after, rows }): NotedParcel => [id, after, rows.map(({ n }) => n)]));
}

/**
 * Returns the numbers of the rows in a note.
 */
export function numbersIn(note: string): readonly string[] {
  return (JSON.parse(note) as NotedParcel[]).flatMap(([, , ns]) => ns); // a relay has written it
}

/**
 * Returns the parcels of a note that another relay has left, which may be stored. A parcel of which rows are missing,
 * because somebody has deleted them, is left out: its rows are new ones.
 */
export function fromNote(note: string, rows: readonly OutboxRow[]): Parcel[] {
  const byNumber = new Map(rows.map((row) => [row.n, row]));
  return (JSON.parse(note) as NotedParcel[]).flatMap(([id, after, ns]) => {
    const own = ns.flatMap((n) => byNumber.get(n) ?? []);
    return own.length < ns.length ? [] : [{ id, after, rows: own, doubtful: !isCall(own[0].kind) }];
  });
}
