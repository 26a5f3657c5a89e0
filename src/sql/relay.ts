/**
 * The relay of an outbox: one process at a time publishes what committed transactions have recorded. Each row is in the
 * log once, whatever dies; rows of one lane (contract and key) in the order of their commits. What is sent is noted in
 * the database before, with its id and its members; what may have been stored is looked for in the log, and then sent
 * again as it was noted. A term that is not the last one changes nothing in the database.
 */
import { isOlder, type RecordedStart, type RelayMark, type StoreHost } from "../contract/nodes/attached_store.ts";
import type { StoreHealth } from "../contract/nodes/node_info.ts";
import type { AnySignal } from "../contract/calls/flow.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { decodeText } from "../data/encoding.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { type Clock, delay, doubled, elapsed, onAbort, type Stamp, stamp } from "../ports/clock.ts";
import type { Appended } from "../ports/event_log.ts";
import {
  type Fate,
  fateOf,
  fateOfCall,
  fromNote,
  isCall,
  messageOf,
  noteOf,
  type OutboxRow,
  packed,
  type Parcel,
  waits,
} from "./relay_plan.ts";
import { HeldRows, type HeldWith, holdOf } from "./held_rows.ts";
import type { RelayTable } from "./relay_table.ts";

/** Options of a {@link Relay}. */
export interface RelayOptions {
  /** Name of the store. */
  readonly name: string;
  readonly table: RelayTable;
  readonly host: Pick<StoreHost, "log" | "start" | "tell" | "fault"> & { readonly clock: Clock };
  /** Longest pause between two looks at the outbox, in ms. Default: 250. */
  readonly poll?: number | undefined;
  /** For tests. */
  readonly limits?: RelayLimits | undefined;
}

/** Maximum numbers of what a relay has in hand at once. */
export interface RelayLimits {
  /** Rows that are under way. */
  readonly batch: number;
  /** Runs of a workflow that are held one by one. */
  readonly runs: number;
  /** Rows of runs that are tried at once although many of their workflow have failed. */
  readonly tried: number;
}

/** Publishes the rows of an outbox while its process leads. */
export class Relay {
  readonly #options: RelayOptions;
  readonly #clock: Clock;
  /** The greatest mark of the database that this process has seen. */
  #known: RelayMark | undefined;
  #isWoken = false;
  #wake: (() => void) | undefined;
  #leads = false;
  /** The last term of this process. */
  #run: TermRun | undefined;
  #refused = 0;
  #halted: string | undefined;
  #error: string | undefined;
  /** Age of the oldest row at the last look that succeeded, and the time of that look. */
  #oldest: { readonly age: number; readonly at: Stamp } | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#clock = options.host.clock;
  }

  get health(): StoreHealth {
    const { age = 0, at } = this.#oldest ?? {};
    // what was there at the last look has grown older, unless the outbox was empty and is still looked at
    const isOld = at !== undefined && this.#leads && (age > 0 || this.#error !== undefined);
    return {
      name: this.#options.name,
      leads: this.#leads,
      oldest: isOld ? age + elapsed(this.#clock, at) : 0,
      refused: this.#leads ? this.#refused : 0,
      halted: this.#leads ? this.#halted : undefined,
      error: this.#leads ? this.#error : undefined,
    };
  }

  /** Returns why the log did not take a row, or one that it is held with; `undefined`: it did, or was not asked. */
  why(row: HeldWith): string | undefined {
    return this.#leads ? this.#run?.held.whyOf(row) : undefined;
  }

  /** Has the relay look at the outbox at once, if this process leads. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  /** Forgets what this process knows of the database, which somebody has decided to go on with. */
  forget(): void {
    this.#known = undefined;
    this.wake();
  }

  /** Publishes until the signal aborts. Never rejects. */
  async lead(signal: AbortSignal): Promise<void> {
    this.#leads = true;
    this.#oldest = { age: 0, at: stamp(this.#clock) };
    try {
      for (let failures = 0; !signal.aborted;) {
        try {
          await this.#term(signal);
          failures = 0;
        } catch (error) {
          if (signal.aborted) return;
          const text = thrownMessage(error);
          if (text !== this.#error) this.#options.host.fault(`relaying the outbox ${this.#options.name}`, error);
          this.#error = text;
          failures++;
        }
        await delay(this.#clock, doubled(failures, RETRY_PAUSE, LONGEST_PAUSE), signal).catch(() => {});
      }
    } finally {
      this.#leads = false;
    }
  }

  /** One term: until the signal aborts, another term has begun, or an error. */
  async #term(signal: AbortSignal): Promise<void> {
    const { table, host: { log }, name } = this.#options;
    const mark = await log.mark(name);
    const known = isOlder(this.#known, mark) ? mark : this.#known;
    const begun = await table.begin(known);
    if (begun === "older") return await this.#halt(known!, signal);
    this.#halted = undefined;
    this.#known = { term: begun.term, batch: 0 };
    await log.raiseMark(name, this.#known);
    const run = this.#run = new TermRun(this.#options, begun.term, fromNote(begun.note, begun.rows), await log.end());
    this.#refused = await table.refused();
    let settledAt = stamp(this.#clock), keptAt = settledAt, forgottenAt = settledAt;
    let hasDeleted = false, hasMoreToForget = false, kept = 0;
    while (!signal.aborted) {
      this.#isWoken = false;
      const looked = await run.turn(signal);
      if (looked === "lost") return;
      this.#known = { term: begun.term, batch: run.batch };
      this.#error = looked.why;
      this.#oldest = { age: looked.oldest, at: stamp(this.#clock) };
      hasDeleted ||= looked.deleted > 0;
      if (looked.refused > 0) this.#refused = await table.refused();
      if (hasDeleted && elapsed(this.#clock, settledAt) > SETTLE) {
        await this.#tidy(() => table.settle());
        [settledAt, hasDeleted] = [stamp(this.#clock), looked.deleted > 0];
      }
      if (run.batch > kept && elapsed(this.#clock, keptAt) > KEEP_MARK) {
        await log.raiseMark(name, this.#known);
        [keptAt, kept] = [stamp(this.#clock), run.batch];
      }
      if (hasMoreToForget || elapsed(this.#clock, forgottenAt) > FORGET) {
        hasMoreToForget = await this.#tidy(() => table.forget()) ?? false;
        // rows that an operator has mended or removed
        if (this.#refused > 0) this.#refused = await table.refused();
        forgottenAt = stamp(this.#clock);
      }
      if (looked.next > 0) await this.#pause(Math.min(looked.next, this.#options.poll ?? POLL), signal, true);
    }
  }

  /** Does what keeps the tables small; its failure, as of a missing right, stops nothing. */
  async #tidy<T>(work: () => MaybePromise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#options.host.fault(`tidying the tables of the store ${this.#options.name}`, error);
    }
  }

  /** Waits until somebody has decided to go on with a database that is older than the cluster remembers. */
  async #halt(known: RelayMark, signal: AbortSignal): Promise<void> {
    const { host: { log, fault }, name } = this.#options;
    const why =
      "the database is older than what was published from it: a copy was restored, or a replica without the " +
      "last commits has taken over";
    if (this.#halted === undefined) fault(`relaying the outbox ${name}`, new Error(why));
    this.#halted = why;
    this.#known = known;
    while (!signal.aborted && this.#known !== undefined) {
      await this.#pause(HALTED_PAUSE, signal, false);
      if (await log.mark(name) === undefined) this.#known = undefined;
    }
  }

  /** Waits; `canWake`: until {@link Relay.wake} at most. */
  async #pause(ms: number, signal: AbortSignal, canWake: boolean): Promise<void> {
    if (signal.aborted || (canWake && this.#isWoken)) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        this.#wake = undefined;
        timer.cancel();
        off();
        resolve();
      };
      const timer = this.#clock.after(ms, end);
      const off = onAbort(signal, end);
      if (canWake) this.#wake = end;
    });
  }
}

/** Outcome of one turn of a term. */
interface RelayTurn {
  /** Time until there is something to do by what is known, in ms; 0: look again at once. */
  readonly next: number;
  /** Age of the oldest row, in ms; 0: there is none. */
  readonly oldest: number;
  readonly deleted: number;
  readonly refused: number;
  /** Why something could not be stored now. */
  readonly why: string | undefined;
}

/** One term of a relay: what is under way, and what is stored and not deleted yet. */
class TermRun {
  readonly #options: RelayOptions;
  readonly #clock: Clock;
  readonly #limits: RelayLimits;
  readonly #term: number;
  /** Number of batches that this term has noted. */
  batch = 0;
  #open: readonly Parcel[];
  /** Numbers of rows that the log has, and that are to be deleted. */
  #stored: string[] = [];
  /** Greatest sequence of the log that is known. */
  #sequence: number;
  /** Time at which the sequence was known to be the last one. */
  #sequenceAt: Stamp;
  #names = 0;
  /** Rows that the log does not take now. */
  readonly held: HeldRows;
  /** Age of the oldest row that is under way, when it was first taken. */
  #openAge: { readonly age: number; readonly at: Stamp } | undefined;

  constructor(options: RelayOptions, term: number, open: readonly Parcel[], sequence: number) {
    this.#options = options;
    this.#clock = options.host.clock;
    this.#limits = options.limits ?? LIMITS;
    this.held = new HeldRows(this.#clock, this.#limits.runs);
    this.#term = term;
    this.#open = open;
    this.#sequence = sequence;
    this.#sequenceAt = stamp(this.#clock);
  }

  /**
   * Takes, notes and sends a batch. `"lost"`: another term has begun. Rejects with errors of the database or the log.
   */
  async turn(signal: AbortSignal): Promise<RelayTurn | "lost"> {
    const { table } = this.#options;
    await this.#lookUp();
    // what an earlier attempt has stored since is recognized by its id, if it is sent again soon
    const lookedUp = stamp(this.#clock);
    const held = this.held;
    const under = this.#open.flatMap(({ rows }) => rows);
    const without = [...under.map(({ n }) => n), ...this.#stored];
    const room = Math.max(0, this.#limits.batch - under.filter((row) => !held.has(row)).length);
    const leftOut = held.leftOut(under);
    const { rows: taken, oldest } = await table.take(room, without, leftOut);
    const rows = [...taken];
    const looked = stamp(this.#clock);
    if (rows.length < room) held.found([...under, ...rows], leftOut);
    rows.push(...await this.#tried([...without, ...rows.map(({ n }) => n)]));
    if (rows.length > 0) {
      if (elapsed(this.#clock, this.#sequenceAt) > FRESH) await this.#knowEnd();
      const name = () => `${this.#options.name}.${this.#term}.${this.#names++}`;
      this.#open = [...this.#open, ...packed(rows, { after: this.#sequence, name })];
    }
    this.#openAge = this.#open.length === 0 ? undefined : this.#openAge ?? { age: oldest, at: looked };
    const deleted = this.#stored;
    const hasWork = this.#open.some((parcel) => !this.#isWaiting(parcel));
    // also before what is under way is sent again: another term may have sent it, so long ago that the server would not
    // recognize it
    if (hasWork || deleted.length > 0) {
      const mark = { term: this.#term, batch: this.batch };
      if (!await table.note({ mark, stored: deleted, note: noteOf(this.#open) })) return "lost";
      this.batch++;
      this.#stored = [];
    }
    const settled = hasWork ? await this.#settle(await this.#sendAll(lookedUp, signal)) : { refused: 0, isOver: true };
    held.settle(settled.isOver ? LONGEST_PAUSE : LONGEST_HOLD);
    return {
      oldest: Math.max(this.#age, held.oldest),
      deleted: deleted.length,
      refused: settled.refused,
      next: settled.isOver ? held.pause : 0,
      why: held.why,
    };
  }

  /** Takes rows of runs whose like has failed often: they have room of their own. */
  async #tried(without: readonly string[]): Promise<readonly OutboxRow[]> {
    const due = this.held.due();
    if (due === undefined) return [];
    const { tried: most } = this.#limits;
    const rows = await this.#options.table.runs({ ...due, most, without });
    this.held.tries(due.workflow, rows, rows.length === most);
    return rows;
  }

  /** Age of the oldest row that is under way, in ms; 0: there is none. */
  get #age(): number {
    return this.#openAge === undefined ? 0 : this.#openAge.age + elapsed(this.#clock, this.#openAge.at);
  }

  #isWaiting({ rows: [row] }: Parcel): boolean {
    return this.held.isWaiting(row);
  }

  /** Finds out which of the parcels that may be stored are: their first rows are in the log. */
  async #lookUp(): Promise<void> {
    const { host: { log } } = this.#options;
    const doubtful = this.#open.filter(({ doubtful, rows: [{ kind }] }) => doubtful && !isCall(kind));
    for (const [contract, own] of Map.groupBy(doubtful, ({ rows: [{ contract }] }) => contract)) {
      const after = Math.min(...own.map(({ after }) => after));
      const found = await log.stored(contract, after, new Set(own.map(({ rows: [{ id }] }) => id)));
      for (const parcel of own) {
        if (!found.has(parcel.rows[0].id)) continue;
        this.#stored.push(...parcel.rows.map(({ n }) => n));
        this.#open = this.#open.filter((each) => each !== parcel);
      }
    }
  }

  async #knowEnd(): Promise<void> {
    this.#sequence = Math.max(this.#sequence, await this.#options.host.log.end());
    this.#sequenceAt = stamp(this.#clock);
  }

  /**
   * Sends all parcels but those that are held, each behind those that it waits for; a parcel behind one that is not
   * stored, and will be sent again, is not sent.
   */
  async #sendAll(lookedUp: Stamp, signal: AbortSignal): Promise<readonly (Fate | undefined)[]> {
    const open = this.#open;
    const before = waits(open);
    const sent: Promise<Fate | undefined>[] = [];
    for (const [index, parcel] of open.entries()) {
      const behind = Promise.all(before[index].map(async (other) => isOver(open[other], await sent[other])));
      sent.push(behind.then(async (over) => {
        if (over.includes(false) || this.#isWaiting(parcel)) return undefined;
        // a process that stood still may no longer lead, and the server may have forgotten the ids of its messages: the
        // next turn notes the rest again, if the term is still the last one
        if (signal.aborted || elapsed(this.#clock, lookedUp) > STALE) return undefined;
        return await this.#send(parcel);
      }));
    }
    return await Promise.all(sent);
  }

  async #send(parcel: Parcel): Promise<Fate> {
    const { host } = this.#options;
    const [row] = parcel.rows;
    if (!isCall(row.kind)) {
      const appended = await host.log.append(messageOf(parcel), ATTEMPT);
      this.#noteSequence(appended);
      return fateOf(appended);
    }
    const result = row.kind === "start" ? await host.start(startOf(row)) : await tell(host, row);
    return fateOfCall(result);
  }

  #noteSequence(appended: Appended): void {
    if (appended.type !== "stored" || appended.sequence <= this.#sequence) return;
    this.#sequence = appended.sequence;
    this.#sequenceAt = stamp(this.#clock);
  }

  /**
   * Takes over what has become of the parcels. `undefined`: it was not sent. `isOver`: all that was sent has failed.
   */
  async #settle(fates: readonly (Fate | undefined)[]): Promise<{ readonly refused: number; readonly isOver: boolean }> {
    const oldest = this.#age;
    const hasStored = fates.some((fate) => fate?.type === "stored");
    const left: Parcel[] = [];
    const refused: { n: string; why: string }[] = [];
    for (const [index, parcel] of this.#open.entries()) {
      const fate = fates[index];
      const [row] = parcel.rows;
      if (fate?.type === "stored") {
        this.#stored.push(...parcel.rows.map(({ n }) => n));
        this.held.pass(row);
      } else if (fate?.type === "refused") {
        // of several rows, one may be the reason: each goes alone
        if (parcel.rows.length > 1) left.push(...this.#split(parcel));
        else {
          refused.push({ n: row.n, why: fate.why });
          this.held.pass(row);
        }
      } else if (fate === undefined) left.push(parcel);
      else {
        // if the log takes nothing, it is about to come back; if it takes others, somebody has to mend something
        this.held.fail(row, fate.why, oldest, hasStored ? LONGEST_HOLD : LONGEST_PAUSE);
        left.push({ ...parcel, doubtful: parcel.doubtful || fate.isUnknown });
      }
    }
    const isSplit = left.some((parcel) => !this.#open.some(({ id }) => id === parcel.id));
    this.#open = this.#withoutHeld(left);
    if (this.#open.length === 0) this.#openAge = undefined;
    if (refused.length > 0) await this.#options.table.refuse(refused);
    if (isSplit) await this.#noteAgain();
    const hasFailed = fates.some((fate) => fate?.type === "later");
    return { refused: refused.length, isOver: hasFailed && !hasStored && refused.length === 0 && !isSplit };
  }

  /**
   * Leaves rows that are held in the outbox, where they take no room, unless the log may have some that they are held
   * with: these keep their parcels, and those behind them their places.
   */
  #withoutHeld(parcels: readonly Parcel[]): readonly Parcel[] {
    const doubtful = new Set(parcels.filter(({ doubtful }) => doubtful).map(({ rows: [row] }) => holdOf(row)));
    return parcels.filter(({ rows: [row] }) => doubtful.has(holdOf(row)) || !this.held.has(row));
  }

  #split({ rows, after }: Parcel): Parcel[] {
    const name = () => `${this.#options.name}.${this.#term}.${this.#names++}`;
    return packed(rows, { after, name, limits: { items: 1, chars: 0 } });
  }

  /** Notes parcels that were made of the rows of others, before they are sent. */
  async #noteAgain(): Promise<void> {
    const mark = { term: this.#term, batch: this.batch };
    if (await this.#options.table.note({ mark, stored: [], note: noteOf(this.#open) })) this.batch++;
  }
}

/** Returns true if a parcel with this fate is not sent again: several rows that were refused go alone. */
function isOver({ rows }: Parcel, fate: Fate | undefined): boolean {
  return fate?.type === "stored" || (fate?.type === "refused" && rows.length === 1);
}

function startOf({ contract: name, id: run, body: input, head }: OutboxRow): RecordedStart {
  // the store has written it
  const { version, keep, timeout, redact, shape, headers, tags } = JSON.parse(head) as
    & Omit<RecordedStart["definition"], "name">
    & Pick<RecordedStart, "shape" | "headers" | "tags">;
  return { definition: { name, version, keep, timeout, redact }, run, input, shape, headers, tags };
}

function tell(host: RelayOptions["host"], { contract: workflow, key, id, body, head }: OutboxRow) {
  const { signal: name } = JSON.parse(head) as { readonly signal: string }; // the store has written it
  const signal: AnySignal = { workflow, name };
  return host.tell(signal, key!, body === "" ? undefined : decodeText(body), { id });
}

/** Longest pause between two looks at an outbox that is empty, in ms. */
const POLL = 250;
const LIMITS: RelayLimits = { batch: 1_000, runs: 100, tried: 250 };
/** Time that an attempt to store a message waits for its acknowledgement, in ms. */
const ATTEMPT = 5_000;
/** Pause before a term that has ended by an error is followed by another one, in ms. */
const RETRY_PAUSE = 100;
/** Longest pause before something is tried again while nothing succeeds, in ms. */
const LONGEST_PAUSE = 2_000;
/** Longest pause before rows that the log does not take are tried again, while it takes others, in ms. */
const LONGEST_HOLD = 10_000;
/**
 * Age of a look into the log, and of the note after it, beyond which nothing is sent by them, in ms: another term may
 * have begun, and the server recognizes a message that is sent again for 2 minutes.
 */
const STALE = 30_000;
/** Age of the known end of the log beyond which it is read again before a batch is noted, in ms. */
const FRESH = 10_000;
/** Interval at which looks are made to skip what is gone, in ms. */
const SETTLE = 1_000;
/** Interval at which the cluster learns how far the database is, in ms. */
const KEEP_MARK = 10_000;
/** Interval at which records of effects are removed, in ms. */
const FORGET = 10_000;
/** Interval at which a halted relay looks whether somebody has decided, in ms. */
const HALTED_PAUSE = 2_000;
