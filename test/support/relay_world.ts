/**
 * Relays of one outbox in several processes, on virtual time, from a seed: processes die and stand still, answers are
 * late or lost, and messages arrive after their senders have given up. Database, log and cluster are models of what the
 * relay relies on: a transaction is atomic, the log recognizes ids for 2 minutes, two may lead for a while.
 */
import { type Appended, notStoredNow } from "../../src/ports/event_log.ts";
import { CatgaError } from "../../src/error.ts";
import {
  isOlder,
  type RecordedLog,
  type RecordedMessage,
  type RecordedStart,
  type RelayMark,
} from "../../src/contract/nodes/attached_store.ts";
import type { AnySignal } from "../../src/contract/calls/flow.ts";
import type { Result } from "../../src/contract/calls/result.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { VirtualClock } from "../../src/memory/virtual_clock.ts";
import { type Clock, delay } from "../../src/ports/clock.ts";
import { holdOf } from "../../src/sql/held_rows.ts";
import { Relay } from "../../src/sql/relay.ts";
import { isCall, numbersIn, type OutboxRow } from "../../src/sql/relay_plan.ts";
import type { RelayTable } from "../../src/sql/relay_table.ts";

/** A rule of the relay, or of what it relies on, that a simulation leaves out to see whether its checks notice. */
export type LeftOut =
  | "the look into the log"
  | "the note of what is under way"
  | "the check of the term"
  | "the check of a pause"
  | "the order of a key"
  | "the runs behind those that fail"
  | "the first row of a run"
  | "one id for all attempts";

/** The result of a simulation; `wrong` is empty if every promise was kept. */
export interface Outcome {
  readonly wrong: readonly string[];
  readonly rows: number;
  readonly kills: number;
  readonly pauses: number;
}

/** A process with a relay. */
interface Process {
  readonly relay: Relay;
  isDead: boolean;
  /** Time until which it stands still, by the world's clock. */
  stillUntil: number;
}

/** Time for which the log recognizes ids, in ms. */
const RECOGNIZED = 120_000;
/** Longest time for which a message is on its way, in ms: less than the relay's limit for a pause. */
const LATE = 8_000;
const LANES = 3;
/** Limits of the relays: few rows reach them. */
const LIMITS = { batch: 20, runs: 6, tried: 5 };
/** Maximum number of runs that cannot be started. */
const MOST_FAILING = 40;

/** Plays a seed. */
export async function playRelays(seed: number, leftOut?: LeftOut): Promise<Outcome> {
  const world = new World(seed, leftOut);
  return await world.play();
}

class World {
  readonly #random;
  readonly #clock = VirtualClock.ofTicks();
  readonly #leftOut: LeftOut | undefined;
  /** Rows that are committed and not deleted, by number. */
  readonly #outbox = new Map<number, OutboxRow>();
  /** Ids of committed rows by lane, in the order of their commits. */
  readonly #committed = new Map<string, string[]>();
  readonly #relayRow = { term: 0, batch: 0, note: "[]" };
  /** Signals by run that was started, in their order. */
  readonly #runs = new Map<string, string[]>();
  /** Committed rows of runs that can be started. */
  readonly #startable = new Map<string, string[]>();
  readonly #refused: string[] = [];
  readonly #log: { readonly id: string; readonly ids: readonly string[]; readonly at: number }[] = [];
  #mark: RelayMark | undefined;
  #numbers = 0;
  #kills = 0;
  #pauses = 0;
  /** True when faults have ended. */
  #isCalm = false;

  constructor(seed: number, leftOut: LeftOut | undefined) {
    this.#random = seededRandom(seed);
    this.#leftOut = leftOut;
  }

  async play(): Promise<Outcome> {
    const writers = Array.from({ length: LANES }, (_, lane) => this.#write(`k${lane}`));
    writers.push(this.#writeRuns());
    const leading = this.#lead();
    await this.#clock.until(Promise.all([...writers, leading]), 3_600_000);
    const wrong = this.#wrong();
    const rows = [...this.#committed.values()].reduce((sum, ids) => sum + ids.length, 0);
    return { wrong, rows, kills: this.#kills, pauses: this.#pauses };
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #upTo(most: number): number {
    return Math.floor(this.#random() * most);
  }

  /** Transactions of one key: each draws its number under the key's lock, and commits later. */
  async #write(key: string): Promise<void> {
    for (let i = 0; i < 14; i++) {
      await delay(this.#clock, this.#chance(0.3) ? this.#upTo(60_000) : this.#upTo(300));
      const n = ++this.#numbers;
      await delay(this.#clock, this.#upTo(40));
      const id = `${key}-${i}`;
      const head = JSON.stringify({ keep: 1, given: this.#chance(0.3) });
      this.#outbox.set(n, { n: `${n}`, kind: "event", contract: "E", key, id, body: `[0,"${key}","${id}"]`, head });
      const own = this.#committed.get(key);
      if (own === undefined) this.#committed.set(key, [id]);
      else own.push(id);
    }
  }

  /** Runs of a workflow, most of which cannot be started, with a signal each that is recorded later. */
  async #writeRuns(): Promise<void> {
    const record = (kind: "start" | "tell", key: string, id: string) => {
      const n = ++this.#numbers;
      this.#outbox.set(n, {
        n: `${n}`,
        kind,
        contract: "Flow",
        key,
        id,
        body: "",
        head: JSON.stringify({ signal: id }),
      });
    };
    const bad = MOST_FAILING - this.#upTo(30);
    for (let i = 0; i < bad; i++) record("start", `bad-${i}`, `bad-${i}`);
    for (let i = 0; i < 8; i++) {
      await delay(this.#clock, this.#upTo(60_000));
      const run = `good-${i}`;
      record("start", run, run);
      this.#startable.set(run, []);
      record("tell", `bad-${i}`, `bad-${i}-told`);
      // behind other runs
      for (let told = this.#upTo(3); told > 0; told--) {
        await delay(this.#clock, this.#upTo(2_000));
        record("tell", run, `${run}-${told}`);
        this.#startable.get(run)!.push(`${run}-${told}`);
      }
    }
  }

  /** Has processes lead one after the other, sometimes two at once, and sometimes none for minutes. */
  async #lead(): Promise<void> {
    const end = this.#clock.now() + 400_000;
    while (this.#clock.now() < end) {
      const process = this.#process();
      const over = new AbortController();
      process.relay.lead(over.signal);
      await delay(this.#clock, this.#upTo(8_000));
      if (this.#chance(0.5)) {
        process.isDead = true;
        this.#kills++;
      } else if (this.#chance(0.6)) {
        process.stillUntil = this.#clock.now() +
          (this.#chance(0.5) ? 130_000 + this.#upTo(60_000) : this.#upTo(20_000));
        this.#pauses++;
      }
      // it may go on beside the next one; while it stands still, it does not learn that it no longer leads
      const learns = async () => {
        await delay(this.#clock, Math.max(0, process.stillUntil - this.#clock.now()) + this.#upTo(200));
        over.abort();
      };
      this.#clock.after(this.#upTo(15_000), () => void learns());
      await delay(this.#clock, this.#chance(0.2) ? 120_000 + this.#upTo(30_000) : this.#upTo(3_000));
    }
    await delay(this.#clock, 200_000); // what stood still has gone on
    this.#isCalm = true;
    const over = new AbortController();
    this.#process().relay.lead(over.signal);
    await delay(this.#clock, 60_000);
    over.abort();
  }

  #process(): Process {
    const world = this.#clock;
    const process: Omit<Process, "relay"> = { isDead: false, stillUntil: 0 };
    // a clock that does not notice pauses: it goes on from where it stood
    let lag = 0;
    const notices = this.#leftOut !== "the check of a pause";
    const clock: Clock = {
      now: () => world.now() - lag,
      monotonic: () => world.monotonic() - lag,
      after: (ms, callback, options) => world.after(ms, () => process.isDead || callback(), options),
      soon: (callback) => world.soon(callback),
    };
    const wake = async () => {
      if (process.isDead) await new Promise<never>(() => {});
      const still = process.stillUntil - world.now();
      if (still <= 0) return;
      await delay(world, still);
      if (!notices) lag += still;
    };
    const host = {
      ...{ clock, log: this.#logFor(process, wake), fault() {} },
      start: ({ run }: RecordedStart) =>
        this.#called(process, wake, () => {
          if (run.startsWith("bad")) return { ok: false, error: new CatgaError("UNAVAILABLE", "not now") };
          if (!this.#runs.has(run)) this.#runs.set(run, []);
          return { ok: true, value: run };
        }),
      tell: (_: AnySignal, run: string, __: unknown, { id }: { readonly id: string }) =>
        this.#called(process, wake, () => {
          const told = this.#runs.get(run);
          if (told === undefined) return { ok: false, error: new CatgaError("NO_RUN", run) };
          if (!told.includes(id)) told.push(id);
          return { ok: true, value: undefined };
        }),
    };
    const relay = new Relay({ name: "main", table: this.#tableFor(process, wake), host, poll: 250, limits: LIMITS });
    return Object.assign(process, { relay });
  }

  /** One call to the database: it may be late, fail before its effect, or after it. */
  async #call<T>(process: { readonly isDead: boolean }, wake: () => Promise<void>, effect: () => T): Promise<T> {
    if (process.isDead) await new Promise<never>(() => {});
    await delay(this.#clock, this.#upTo(20));
    if (!this.#isCalm && this.#chance(0.02)) throw new Error("the database did not get it");
    const value = effect();
    await delay(this.#clock, this.#upTo(20));
    await wake();
    if (!this.#isCalm && this.#chance(0.02)) throw new Error("the answer was lost");
    return value;
  }

  /** One call about a run: it may fail before its effect, or after it. */
  async #called<T>(
    process: { readonly isDead: boolean },
    wake: () => Promise<void>,
    effect: () => Result<T>,
  ): Promise<Result<T>> {
    try {
      return await this.#call(process, wake, effect);
    } catch (error) {
      return { ok: false, error: new CatgaError("UNAVAILABLE", (error as Error).message) };
    }
  }

  #tableFor(process: { readonly isDead: boolean; stillUntil: number }, wake: () => Promise<void>): RelayTable {
    const row = this.#relayRow;
    const call = <T>(effect: () => T) => this.#call(process, wake, effect);
    const rowsOf = (numbers: Iterable<string>) => [...numbers].flatMap((n) => this.#outbox.get(Number(n)) ?? []);
    return {
      begin: (known) =>
        call(() => {
          if (row.term > 0 && isOlder(row, known)) return "older";
          row.term++;
          row.batch = 0;
          const note = this.#leftOut === "the note of what is under way" ? "[]" : row.note;
          return { term: row.term, note, rows: rowsOf(numbersIn(note)) };
        }),
      resume: () => {},
      take: (most, without, held = []) =>
        call(() => {
          const rows = [...this.#outbox].sort(([a], [b]) => a - b).map(([, each]) => each)
            .filter((each) => !without.includes(each.n) && !held.includes(holdOf(each)))
            .filter(({ kind, contract }) => !isCall(kind) || !held.includes(`run\n${contract}`));
          const some = rows.slice(0, most);
          // the model of runs finds them by their keys
          const hide = (each: OutboxRow) => isCall(each.kind) ? each : { ...each, key: null };
          return { rows: this.#leftOut === "the order of a key" ? some.map(hide) : some, oldest: some.length };
        }),
      runs: ({ workflow, after, most, without }) =>
        call(() => {
          const own = [...this.#outbox].sort(([a], [b]) => a - b).map(([, each]) => each)
            .filter(({ n, kind, contract }) => isCall(kind) && contract === workflow && !without.includes(n));
          const first = new Map(own.toReversed().map(({ key, n }) => [key, Number(n)]));
          const behind = this.#leftOut === "the runs behind those that fail" ? 0 : Number(after);
          if (this.#leftOut === "the first row of a run") {
            return own.filter(({ n }) => Number(n) > behind).slice(0, most);
          }
          return own.filter(({ key }) => first.get(key)! > behind).slice(0, most);
        }),
      note: ({ mark, stored, note }) =>
        call(() => {
          const isMine = row.term === mark.term && row.batch === mark.batch;
          if (!isMine && this.#leftOut !== "the check of the term") return false;
          row.batch++;
          row.note = note;
          for (const n of stored) this.#outbox.delete(Number(n));
          // between the note and what it notes
          if (!this.#isCalm && this.#chance(0.05)) {
            process.stillUntil = this.#clock.now() + 130_000 + this.#upTo(60_000);
            this.#pauses++;
          }
          return true;
        }),
      refuse: (refused) => {
        for (const { n } of refused) {
          this.#refused.push(this.#outbox.get(Number(n))!.id);
          this.#outbox.delete(Number(n));
        }
      },
      refused: () => 0,
      forget: () => false,
      settle: () => {},
    };
  }

  #logFor(process: { readonly isDead: boolean }, wake: () => Promise<void>): RecordedLog {
    const call = <T>(effect: () => T) => this.#call(process, wake, effect);
    return {
      append: (message, timeout) => this.#append(process, wake, message, timeout),
      end: () => call(() => this.#log.length),
      stored: (_, after, ids) =>
        call(() => {
          if (this.#leftOut === "the look into the log") return new Set();
          return new Set(this.#log.slice(after).flatMap((each) => each.ids).filter((id) => ids.has(id)));
        }),
      mark: () => call(() => this.#mark),
      raiseMark: (_, mark) => call(() => void (this.#mark = isOlder(this.#mark, mark) ? mark : this.#mark)),
      forgetMark: () => call(() => void (this.#mark = undefined)),
    };
  }

  async #append(
    process: { readonly isDead: boolean },
    wake: () => Promise<void>,
    { id, items }: RecordedMessage,
    timeout: number,
  ): Promise<Appended> {
    if (process.isDead) await new Promise<never>(() => {});
    const name = "given" in id ? `u:${id.given}` : `o:${id.made}`;
    const made = this.#leftOut === "one id for all attempts" ? `${name}.${this.#random()}` : name;
    const ids = items.map((item) => (JSON.parse(item) as string[])[2]);
    if (!this.#isCalm && this.#chance(0.05)) return notStoredNow(new CatgaError("UNAVAILABLE", "not now"));
    const travels = !this.#isCalm && this.#chance(0.1) ? this.#upTo(LATE) : this.#upTo(30);
    const arrives = this.#isCalm || this.#chance(0.97);
    const answer = Promise.withResolvers<Appended>();
    // it is on its way, whatever becomes of its sender
    if (arrives) {
      this.#clock.after(travels, () => {
        const now = this.#clock.now();
        const known = this.#log.findIndex((each) => each.id === made && now - each.at < RECOGNIZED);
        if (known === -1) this.#log.push({ id: made, ids, at: now });
        const sequence = known === -1 ? this.#log.length : known + 1;
        answer.resolve({ type: "stored", sequence, duplicate: known !== -1 });
      });
    }
    const error = new CatgaError("UNAVAILABLE", "no answer");
    this.#clock.after(timeout, () => answer.resolve({ type: "unknown", error }));
    const appended = await answer.promise;
    await wake();
    return !this.#isCalm && this.#chance(0.05) ? { type: "unknown", error } : appended;
  }

  #wrong(): string[] {
    const wrong: string[] = [];
    const stored = this.#log.flatMap(({ ids }) => ids);
    for (const [key, ids] of this.#committed) {
      const own = stored.filter((id) => id.startsWith(`${key}-`));
      const once = [...new Set(own)];
      for (const id of ids) if (!once.includes(id)) wrong.push(`${id} is not in the log`);
      if (own.length > once.length) wrong.push(`${own.length - once.length} of ${key} are in the log twice`);
      if (once.join() !== ids.filter((id) => once.includes(id)).join()) wrong.push(`${key} is out of order`);
    }
    for (const [run, told] of this.#startable) {
      const known = this.#runs.get(run);
      if (known === undefined) wrong.push(`${run} has not been started`);
      else if (known.join() !== told.join()) wrong.push(`${run} was told ${known}, not ${told}`);
    }
    if (this.#refused.length > 0) wrong.push(`${this.#refused} were refused`);
    const left = [...this.#outbox.values()].filter(({ key }) => !key!.startsWith("bad"));
    if (left.length > 0) wrong.push(`${left.length} rows are left`);
    return wrong;
  }
}
