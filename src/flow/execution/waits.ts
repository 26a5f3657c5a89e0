/**
 * Sleeps and waits of a workflow's handler. The schedule that ends a sleep or wait is stored before the entry about its
 * beginning. The handler continues with a signal that a wait took before the entry about it is stored, so that what
 * follows from it is stored by the same append; no step begins before that.
 */
import {
  type AnyWaitable,
  CALLBACK_PATH,
  type CallbackOptions,
  type FlowCallback,
  type WaitOptions,
} from "../../contract/calls/flow.ts";
import type { Failure, Result } from "../../contract/calls/result.ts";
import { checkSchema, type Schema } from "../../contract/schemas/schema.ts";
import { checkKnown, checkSignal, show } from "../../data/checks.ts";
import { CatgaError } from "../../error.ts";
import { type DriveState, markMisuse, type PendingCall } from "./drive_state.ts";
import { callbackToken, newSecret } from "../stored/callback_token.ts";
import { nextSignal, signalKey, type Timed } from "../stored/journal.ts";
import type { JournalEntry, RecordedOutcome } from "../stored/journal_entry.ts";
import { valueOf } from "../stored/recorded_value.ts";
import { AskedQuestion } from "./asked_question.ts";
import { parsedInTime } from "./schema_in_time.ts";
import { checkUntil, timeOf } from "./wait_times.ts";

const WAIT_OPTIONS: ReadonlySet<string> = new Set<keyof WaitOptions>(["name", "timeout", "signal"]);
const CALLBACK_OPTIONS: ReadonlySet<string> = new Set<keyof CallbackOptions<unknown>>(["input", "timeout"]);

/** A wait, and how its handler gets what it takes. */
interface Awaited {
  readonly name: string;
  /** Keys of the signals that the wait takes ({@link signalKey}). */
  readonly keys: readonly string[];
  /** Names them to people. */
  readonly signal: string;
  readonly callback?: boolean;
  readonly timeout: number | Date | undefined;
  /** Lets the handler get the signal with this number, by `deliver`. */
  give(n: number, deliver: (see: () => void) => void): void;
  timedOut(): void;
}

/** The sleeps and waits of a run in one execution of it. */
export class Waits {
  readonly #state: DriveState;
  /** Numbers of the signals that waits have taken in this execution of the run. */
  readonly #taken = new Set<number>();
  /**
   * Numbers of signals that a wait took, and whose value the handler did not get before it gave that wait up: the next
   * wait takes them. Nothing is recorded about that, because each replay gives the same waits up at the same place.
   */
  readonly #givenBack = new Set<number>();
  /** By default name of a wait: number of waits with it that the handler has begun. */
  readonly #numbers = new Map<string, number>();
  /** Names of the sleeps and waits whose time was asked for: a timer of this node may end it. */
  readonly #timed = new Set<string>();
  /** Sleeps and waits whose end this execution has recorded. */
  readonly #noted = new Set<PendingCall>();
  /** Waits whose end is not stored: the names of their signals, by the name of the wait. */
  readonly #open: Map<string, readonly string[]> = new Map();
  /** Waits that take a signal once the handler has seen all that is stored. */
  readonly #asking = new Set<PendingCall>();
  /** The wait that takes a signal now. */
  #taking: PendingCall | undefined;
  /** Numbers of the signals that waits took whose entries this execution has recorded. */
  readonly #tookNow = new Map<PendingCall, number>();
  /** Sleeps and waits whose beginning is being recorded, so that it is not recorded twice. */
  readonly #beginning = new Set<PendingCall>();
  /** Waits whose signal is being parsed. */
  readonly #parsing = new Set<PendingCall>();
  /**
   * Sleeps and waits whose time is over. `true`: the end may be recorded, because the handler has seen all that is
   * stored; `false`: it may not be recorded yet.
   */
  readonly #overdue = new Map<PendingCall, boolean>();
  #isStopped = false;
  /** The run's secret, while it is not stored. */
  #secret: string | undefined;

  constructor(state: DriveState) {
    this.#state = state;
  }

  /** Numbers of signals that a given-up wait took, and that no other wait has taken since. */
  get givenBack(): ReadonlySet<number> {
    return this.#givenBack;
  }

  /** Cancels the timers of all sleeps and waits, because the handler has ended. */
  abandon(): void {
    for (const name of this.#timed) this.#state.times.cancel(name);
  }

  /**
   * Keeps the sleeps and waits that the handler has called from ending, because the calls that would follow from their
   * ends are not known. Called when the handler has thrown and will be called again.
   */
  stop(): void {
    this.#isStopped = true;
    this.abandon();
  }

  /** Returns true if a wait, whose end is not stored yet, could take a stored signal. */
  couldTakeSignal(): boolean {
    const { journal } = this.#state;
    for (const [name, signals] of this.#open) {
      if (journal.took.has(name)) this.#open.delete(name);
      else if (nextSignal(journal, signals, this.#taken, this.#givenBack) !== undefined) return true;
    }
    return false;
  }

  sleep(name: string, until: number | Date): Promise<void> {
    const state = this.#state;
    const { journal } = state;
    const check = () => {
      checkUntil(`sleep ${name}`, until);
      this.#mayBeScheduled(name, until);
    };
    return this.#call("sleep", name, check, (call, resolve) => {
      const woken = journal.woken.get(name);
      if (woken !== undefined && state.sees(woken)) return state.ends.deliver(name, resolve);
      if (this.#isDecided(call)) return;
      const sleep = journal.sleeps.get(name);
      if (sleep === undefined) {
        const end = timeOf(until, state.host.latest);
        return this.#begin(call, name, end, (at) => ({ t: "slept", step: name, until: at! }));
      }
      if (this.#isDue(name, sleep, call)) this.#timeIsOver(call, { t: "woken", step: name }, resolve);
    });
  }

  /**
   * `given`: the signal or question that the wait takes; or several, one of which it takes: it then gives a list with
   * that one.
   */
  wait(given: AnyWaitable | readonly AnyWaitable[], options: WaitOptions): Promise<unknown> {
    const state = this.#state;
    const { journal } = state;
    const isList = Array.isArray(given);
    const waited: readonly AnyWaitable[] = isList ? given : [given as AnyWaitable];
    const none: readonly unknown[] | undefined = isList ? waited.map(() => undefined) : undefined;
    for (const one of waited) {
      if (typeof one?.workflow === "string") continue;
      return state.misused(
        new TypeError(`flow.wait takes a signal or question of ${state.ref.workflow}; got ${show(one)}`),
      );
    }
    const signals = waited.map((one) => signalKey(one["~question"] === undefined ? "signalled" : "asked", one.name));
    if (new Set(signals).size < Math.max(1, signals.length)) {
      const got = show(signals);
      return state.misused(new TypeError(`flow.wait: a list must have signals, and each once; got ${got}`));
    }
    const timeout = options?.timeout;
    const signal = waited.map(({ name }) => name).join("|");
    const count = (this.#numbers.get(signal) ?? 0) + 1;
    const name = options?.name ?? (count === 1 ? signal : `${signal} ${count}`);
    const check = () => {
      for (const { workflow, name: own, "~question": question } of waited) {
        if (workflow === state.ref.workflow) continue;
        const kind = question === undefined ? "signal" : "question";
        throw new TypeError(`wait: ${own} is a ${kind} of ${workflow}, and this is a run of ${state.ref.workflow}`);
      }
      checkKnown(`wait ${name}`, options, WAIT_OPTIONS);
      checkSignal(`wait ${name}`, options.signal);
      if (timeout !== undefined) checkUntil(`wait ${name}: timeout`, timeout);
      this.#numbers.set(signal, count);
      if (options.signal?.aborted) return;
      this.#open.set(name, signals);
      if (timeout !== undefined) this.#mayBeScheduled(name, timeout);
    };
    return this.#call<unknown>("wait", name, check, (call, resolve, reject) => {
      /** Lets the handler get the signal with this number, by `deliver`, once its schema has parsed it. */
      const give = (n: number, deliver: (see: () => void) => void) => {
        const told = journal.signal(n);
        const place = isList ? signals.indexOf(told?.key ?? "") : 0;
        if (place < 0) {
          const error = new Error(`wait ${name} took the signal ${told?.name}, which is not in its list any more`);
          return deliver(() => reject(error));
        }
        const { "~input": schema, "~question": question } = waited[place];
        const give = (input: unknown) => {
          const value = question === undefined ? input : new AskedQuestion(state, question, told!, input);
          resolve(none?.with(place, { value }) ?? value);
        };
        if (schema === undefined) return deliver(() => give(told?.value));
        return this.#parse(call, schema, `signal ${waited[place].name}`, told?.value, (parsed) => {
          deliver(() => parsed.ok ? give(parsed.value) : reject(thrownFor(parsed)));
        });
      };
      this.#await(call, { name, keys: signals, signal, timeout, give, timedOut: () => resolve(none) });
    }, options?.signal);
  }

  /** Makes a callback, which others complete by its token, and waits for its completion. */
  callback(name: string, options: CallbackOptions<unknown> = {}): FlowCallback<unknown> {
    const state = this.#state;
    const { journal, ref, host } = state;
    const key = signalKey("completed", name);
    const { input, timeout } = options ?? {};
    // the cast is safe: the schema checks any value
    const schema = input as Schema<never, unknown> | undefined;
    let isReached: boolean;
    try {
      isReached = state.name(name, "callback");
      checkKnown(`callback ${name}`, options, CALLBACK_OPTIONS);
      checkSchema(`callback ${name}: input`, schema);
      if (timeout !== undefined) checkUntil(`callback ${name}: timeout`, timeout);
      if (state.phase === "undoing") throw new TypeError(`callback ${name}: an undo makes no callbacks`);
    } catch (misuse) {
      markMisuse(misuse);
      throw misuse;
    }
    if (isReached) this.#open.set(name, [key]);
    if (timeout !== undefined) this.#mayBeScheduled(name, timeout);
    if (journal.secret === undefined && this.#secret === undefined) {
      // stored before a step begins that could give a token away
      this.#secret = newSecret(host.app.random);
      state.recorder.record({ t: "secret", secret: this.#secret });
    }
    const token = callbackToken(ref, journal.life, name, journal.secret ?? this.#secret!);
    const never = new Promise<never>(() => {});
    const result = !isReached ? never : this.#begun<Result<unknown>>(name, (call, resolve, reject) => {
      const give = (n: number, deliver: (see: () => void) => void) => {
        const outcome = journal.signal(n)!.value as RecordedOutcome; // what the journal has received under this key
        if (!outcome.ok || schema === undefined) {
          return deliver(() => resolve(valueOf(outcome, true) as Result<unknown>));
        }
        return this.#parse(call, schema, `callback ${name}`, outcome.value, (parsed) => {
          // a value that the schema refuses is no fault of the handler, which decides what follows from it
          const isGiven = parsed.ok || parsed.error.code === "INVALID_MESSAGE";
          deliver(() => isGiven ? resolve(parsed) : reject(thrownFor(parsed)));
        });
      };
      const late = () => resolve({ ok: false, error: new CatgaError("TIMEOUT", `callback ${name} was not completed`) });
      this.#await(call, { name, keys: [key], signal: name, callback: true, timeout, give, timedOut: late });
    });
    return { token, url: `${CALLBACK_PATH}${token}`, result };
  }

  /** Lets a wait go on, if what it waits for is there: its signal, or the end of its time. */
  #await(call: PendingCall, { name, keys, signal, callback, timeout, give, timedOut }: Awaited): void {
    const state = this.#state;
    const { journal } = state;
    const took = journal.took.get(name);
    if (took !== undefined && state.sees(took.index)) {
      if (took.n === undefined) return state.ends.deliver(name, timedOut);
      // otherwise the handler gets it, or has got it, already
      if (!this.#noted.has(call)) give(took.n, (see) => state.ends.deliver(name, see));
      return;
    }
    if (took !== undefined || this.#isDecided(call)) return;
    const n = nextSignal(journal, keys, this.#taken, this.#givenBack);
    if (n !== undefined) {
      if (this.#taking !== call) return this.#takeAfterStored(call);
      if (!journal.waits.has(name) && state.isTooLong()) return;
      this.#taken.add(n);
      this.#givenBack.delete(n);
      this.#tookNow.set(call, n);
      this.#open.delete(name);
      this.#noted.add(call);
      state.recorder.record({ t: "took", step: name, n });
      // the handler goes on before the entry is stored, so that what follows from it is stored by the same append
      return give(n, (see) => state.ends.deliver(name, () => state.isHalting || see()));
    }
    const wait = journal.waits.get(name);
    if (wait === undefined) {
      const until = timeout === undefined ? undefined : timeOf(timeout, state.host.latest);
      const limit = (at: number | undefined) => at === undefined ? {} : { until: at };
      const kind = callback ? { callback } : {};
      return this.#begin(call, name, until, (at) => ({ t: "waits", step: name, signal, ...kind, ...limit(at) }));
    }
    if (wait.until !== undefined && this.#isDue(name, wait, call)) {
      this.#timeIsOver(call, { t: "took", step: name }, timedOut);
    }
  }

  /**
   * Lets a wait take a signal after the handler has seen all stored ends: one of them may be that by which the handler
   * gives the wait up, or has another one take the signal.
   */
  #takeAfterStored(call: PendingCall): void {
    const state = this.#state;
    if (this.#asking.has(call)) return;
    this.#asking.add(call);
    state.ends.afterStored("signal", () => {
      this.#asking.delete(call);
      this.#taking = call;
      if (state.calls.has(call)) call.go();
      this.#taking = undefined;
    });
  }

  /**
   * Gives a wait up, whose abort signal the handler has aborted: it takes no signal any more, and what it took, and the
   * handler did not get, is there for the next wait.
   */
  #giveUp(name: string, call: PendingCall): void {
    const state = this.#state;
    state.times.cancel(name);
    const n = state.journal.took.get(name)?.n ?? this.#tookNow.get(call);
    const { taker = name } = n === undefined ? {} : state.journal.signal(n) ?? {};
    // in a replay, the wait that got the signal instead may have its entry already
    if (n !== undefined && taker === name) {
      this.#taken.delete(n);
      this.#givenBack.add(n);
      state.hasNews(); // another wait of the handler may take it
    }
    // the handler gets later ends of the journal without this one
    state.ends.deliver(name, () => {});
    // a time because of which the wait was given up does not go before a signal until it is stored
    if (this.#open.has(name)) state.recorder.after(() => this.#open.delete(name));
  }

  /**
   * Parses `told`, the stored value of a signal, by the signal's schema. Calls `then` with the result: a failure with
   * `INVALID_MESSAGE` if the schema refuses the value, with `TIMEOUT` if it takes too long. `what`: names the value.
   */
  #parse(
    call: PendingCall,
    schema: Schema<never, unknown>,
    what: string,
    told: unknown,
    then: (parsed: Result<unknown>) => void,
  ): void {
    const state = this.#state;
    if (this.#parsing.has(call)) return;
    this.#parsing.add(call);
    state.activity.work(async () => {
      const parsed = await parsedInTime(state.host, { name: what, schema }, told, "INVALID_MESSAGE");
      if (state.over || !state.calls.has(call)) return;
      if (parsed !== undefined) return then(parsed);
      const late = `the schema of ${what} took longer than ${state.host.app.timeout} ms`;
      then({ ok: false, error: new CatgaError("TIMEOUT", late) });
    });
  }

  #call<T>(
    kind: "sleep" | "wait",
    name: string,
    check: () => void,
    go: (call: PendingCall, resolve: (value: T) => void, reject: (error: unknown) => void) => void,
    abort?: AbortSignal,
  ): Promise<T> {
    const state = this.#state;
    try {
      if (!state.name(name, kind)) return new Promise(() => {});
      check();
    } catch (error) {
      return state.misused(error);
    }
    return this.#begun(name, go, abort);
  }

  /** Adds a call whose name and options are checked. */
  #begun<T>(
    name: string,
    go: (call: PendingCall, resolve: (value: T) => void, reject: (error: unknown) => void) => void,
    abort?: AbortSignal,
  ): Promise<T> {
    const state = this.#state;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const aborted = () => {
      if (state.over || !state.calls.has(call)) return;
      this.#giveUp(name, call);
      settled();
      reject(abort?.reason);
    };
    const settled = () => {
      abort?.removeEventListener("abort", aborted);
      state.calls.delete(call);
    };
    const call: PendingCall = {
      go: () => go(call, (value) => (settled(), resolve(value)), (error) => (settled(), reject(error))),
    };
    if (abort !== undefined) {
      // otherwise the rejection would end the process if the handler does not await a wait that it has given up
      promise.catch(() => {});
      if (abort.aborted) reject(abort.reason);
      else abort.addEventListener("abort", aborted, { once: true });
    }
    if (!abort?.aborted) state.call(call);
    return promise;
  }

  /**
   * Notes that an earlier execution of the run may have stored a schedule for this sleep or wait without recording it.
   * `until`: the end of the sleep or wait as the handler gave it: a duration in ms, or a time.
   */
  #mayBeScheduled(name: string, until: number | Date): void {
    const { isFresh, times, host } = this.#state;
    if (!isFresh) times.mayBeScheduled(name, timeOf(until, host.latest));
  }

  /** Returns true if no other end of this sleep or wait may be recorded. */
  #isDecided(call: PendingCall): boolean {
    return this.#state.isHalting || this.#isStopped || this.#noted.has(call);
  }

  /**
   * Ends a sleep or wait whose time is over. `entry` is recorded only after the handler has seen all stored ends: a
   * wait that the handler calls after them may take a stored signal, which has precedence over the end of a time. The
   * handler continues (`see`) before the entry is stored, so that, if it then returns, the entry and the end of the run
   * are stored in one message.
   */
  #timeIsOver(call: PendingCall, entry: JournalEntry & { readonly t: "woken" | "took" }, see: () => void): void {
    const state = this.#state;
    const mayBeRecorded = this.#overdue.get(call);
    if (mayBeRecorded === undefined) {
      this.#overdue.set(call, false);
      return state.ends.afterStored("time", () => {
        this.#overdue.set(call, true);
        if (state.calls.has(call)) call.go();
      });
    }
    if (!mayBeRecorded || this.#noted.has(call)) return;
    this.#noted.add(call);
    state.recorder.record(entry);
    state.ends.deliver(entry.step, () => state.isHalting || see());
  }

  /** Records the beginning of a sleep or wait, after the schedule that ends it is stored. */
  #begin(
    call: PendingCall,
    name: string,
    until: number | undefined,
    entry: (until: number | undefined) => JournalEntry,
  ): void {
    const state = this.#state;
    if (this.#beginning.has(call)) return;
    this.#beginning.add(call);
    state.activity.work(async () => {
      try {
        if (state.times.isStuck(name) || state.isTooLong() || !await state.recorder.ready()) return;
        // a cancel may be stored before the signal with which the handler went on: later executions of the run do not
        // come to this call, and would leave its schedule
        if (this.#isDecided(call)) return;
        const kept = until === undefined ? {} : await state.times.keep(name, until);
        if (kept === undefined) return;
        // nothing is recorded if the wait has taken a signal while its schedule was being stored
        if (this.#noted.has(call) || !state.calls.has(call)) return;
        state.recorder.record({ ...entry(until), ...kept });
        if (!await state.recorder.stored()) return;
      } finally {
        this.#beginning.delete(call);
      }
      if (state.calls.has(call)) call.go();
    });
  }

  /** Returns true if the time of a sleep or wait is over; otherwise the call continues when it is. */
  #isDue(name: string, timed: Timed, call: PendingCall): boolean {
    const { times, calls } = this.#state;
    this.#timed.add(name);
    return times.wait(name, timed, () => calls.has(call) && call.go()) === "over";
  }
}

/** Makes the error of a handler that does not get a value: no `CatgaError`, with which the run would fail. */
function thrownFor({ error: { message, cause } }: Failure): Error {
  return new Error(message, { cause });
}
