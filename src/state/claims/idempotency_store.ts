/**
 * One recorded result for each id of an idempotent command: an attempt claims the id before its handler runs, and its
 * result replaces the claim, by compare-and-set. Every other attempt, on whichever node, waits for that result and
 * returns it. A result is kept for the ttl of its contract ({@link Claimant.ttl}); the default ttl is `RESULT_TTL` in
 * `contract/declaration/defaults.ts`.
 */
import { backoff, between, delay, LONG_AGO, type Stamp, stamp, token } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import { DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { openOnce } from "../../ports/open_once.ts";
import { cannotBeSent } from "../../data/encoding.ts";
import { fingerprintBy, type Hash, textHash } from "../../data/value_text.ts";
import { payloadLimit, unlessFits } from "../../data/message_room.ts";
import { isCatgaError } from "../../error.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";
import { fail, type Result } from "../../contract/calls/result.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { Claimant, Claims, Liveness } from "../../dispatch/context_host.ts";
import type { ClaimedRun } from "../../contract/calls/shared_state.ts";
import { AnswerTimeouts } from "../store/answer_timeouts.ts";
import { isAmbiguous } from "../store/ambiguous_writes.ts";
import { JumpWatch } from "../store/jump_watch.ts";
import { LeasedEntry } from "../store/leased_entry.ts";
import { timeOfFailed, WriteWindow } from "../store/write_window.ts";
import { CallerDeadline } from "./caller_deadline.ts";
import { ClaimWait } from "./claim_wait.ts";
import {
  claimKey,
  copyOf,
  type DoneText,
  readClaim,
  resultOf,
  type RunningClaim,
  unfit,
  writeDone,
  writeRunning,
} from "./claim_record.ts";
import { answerLimit, type ClaimStore, type Ending, FRESH, HeldClaim, LEASE } from "./held_claim.ts";
import { claimLost, claimsClosed, idReused, noClaim, outcomeUnknown, type Ran, withoutResult } from "./claim_error.ts";
import { forgetFailure } from "./forget_failure.ts";

/** Options of an {@link IdempotencyStore}. */
interface IdempotencyOptions extends Pick<ClaimStore, "clock" | "random" | "observer"> {
  /** Opens the bucket of claims and results; called again until it succeeds. */
  readonly bucket: () => Promise<Bucket>;
  /** Endpoint of this process: the node's id, a dot, and a nonce. No other store has the same. */
  readonly endpoint: string;
  readonly liveness: Liveness;
  /** Returns the maximum size of a message, in bytes. */
  maxPayload(): number;
}

/** A running call of `guard`: one attempt to run an idempotent command. */
interface GuardedCall {
  readonly number: number;
  readonly key: string;
  readonly claim: RunningClaim;
  readonly text: string;
  readonly claimant: Claimant;
  /** Runs the command's handler under the claim; called at most once. */
  readonly run: ClaimedRun;
  readonly deadline: CallerDeadline;
  /** Known runs of the command's id. */
  ran: Ran;
  /** Time at which the first write of this attempt's claim was sent. */
  first: Stamp | undefined;
  /** Number of failed calls of the store during this attempt. */
  failures: number;
  /**
   * True if the store may have a claim of this attempt under which it does not run: a write got no answer, or its
   * answer came so late that the claim is written again.
   */
  leavesClaim: boolean;
  /** Settles when the run of the handler has ended, with its last write; set while others wait for that. */
  ended: PromiseWithResolvers<void> | undefined;
}

/** Next step of an attempt: it ends with a result, or goes on with the entry found under its key. */
type ClaimStep = { readonly result: Result<unknown> } | { readonly found: Entry | undefined };

/**
 * The claims of one node. A new command costs two writes.
 *
 * - A result is kept for the claimant's `ttl`. A failure is kept only when it is `final`; any other failure frees the
 *   id for the next attempt. Every attempt, also the one that ran the handler, returns a copy of the result as it was
 *   kept.
 * - A result that cannot be sent, or that is too large, is kept as a final failure (`INVALID_RESPONSE`, `TOO_LARGE`):
 *   the handler has had its effects, and must not have them again.
 * - A claim outlives its holder for 20 s ({@link LEASE}), or until `liveness` reports the holder gone. So no other
 *   attempt runs the handler at the same time, even if the process of the run stands still for up to 15 s. A run whose
 *   claim may be lost is aborted ({@link Claimant.lost}). A run whose claim is lost cannot record its result: it
 *   returns the recorded one, or `OUTCOME_UNKNOWN`.
 * - Without the store nothing runs: `UNAVAILABLE`. If the acknowledgement of a claim's write was lost, the handler
 *   begins only when its attempt has read that claim in the store; other attempts of the id wait for it, at most until
 *   the claim expires ({@link LEASE}). An attempt that ends before that removes the claim.
 * - A sender that gives up gets `OUTCOME_UNKNOWN` when the command may have run, and may send it again.
 */
export class IdempotencyStore implements Claims {
  readonly #options: IdempotencyOptions;
  readonly #wait: ClaimWait;
  /** Wheel of timers for the deadlines of senders and the renewals of claims. */
  readonly #wheel: DeadlineWheel;
  readonly #store: ClaimStore;
  /**
   * Numbers of this process's running attempts: the ends of their nonces. The attempt of a claim of this process with
   * another nonce has ended.
   */
  readonly #attempts = new Set<number>();
  /** Attempts whose handler runs in this process, by key. */
  readonly #runs = new Map<string, GuardedCall>();
  /** Prefix of all nonces that this process makes, and no other process; the number of the attempt follows. */
  readonly #own: string;
  #made = 0;
  #hash: Hash | undefined;
  readonly #writes: WriteWindow = new WriteWindow();
  readonly #closing = new AbortController();
  readonly #bucket: () => Promise<Bucket>;
  #opened: Bucket | undefined;

  constructor(options: IdempotencyOptions) {
    this.#options = options;
    const { clock, random, observer, liveness } = options;
    this.#wheel = new DeadlineWheel(clock);
    this.#own = token(random, 12);
    this.#bucket = openOnce(options.bucket);
    const [jumps, answers] = [new JumpWatch(clock), new AnswerTimeouts(clock)];
    const { signal: closing } = this.#closing;
    const bucket = () => this.#opened ?? this.#bucket();
    this.#store = { bucket, clock, wheel: this.#wheel, jumps, answers, random, observer, closing };
    this.#wait = new ClaimWait(clock, liveness, this.#bucket);
  }

  guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>> {
    const { contract, id } = claimant;
    if (this.#closing.signal.aborted) return Promise.resolve({ ok: false, error: claimsClosed() });
    const number = ++this.#made;
    const [nonce, { endpoint }] = [this.#own + number, this.#options];
    let claim: RunningClaim;
    try {
      claim = {
        state: "running",
        fingerprint: fingerprintBy(this.#hash ??= textHash(), claimant.payload),
        nonce,
        endpoint,
      };
    } catch (cause) {
      return Promise.resolve({ ok: false, error: cannotBeSent(cause, "INVALID_MESSAGE", "the payload", contract) });
    }
    const deadline = new CallerDeadline(this.#wheel, claimant.due);
    claimant.adopt(deadline);
    const [key, text] = [claimKey(contract, id), writeRunning(claim)];
    const attempt: GuardedCall = {
      number,
      key,
      claim,
      text,
      claimant,
      run,
      deadline,
      ran: "new",
      first: undefined,
      failures: 0,
      leavesClaim: false,
      ended: undefined,
    };
    return this.#settle(attempt);
  }

  async forgetFailure(contract: string, id: string): Promise<void> {
    await forgetFailure(await this.#bucket(), contract, id);
  }

  /**
   * Ends the waits of senders and the renewals of claims. A running handler may still end; its result is recorded,
   * unless the lease of its claim has ended before the handler does.
   */
  close(): Promise<void> {
    this.#closing.abort(claimsClosed());
    this.#wheel.abort(claimsClosed());
    this.#wheel.stopIfIdle();
    this.#store.jumps.close();
    this.#store.answers.close();
    return Promise.resolve();
  }

  /**
   * Takes the steps of an attempt until there is a result, and resolves with it. Resolves with a failure if the sender
   * gives up before, or the store has failed for too long.
   */
  async #settle(attempt: GuardedCall): Promise<Result<unknown>> {
    const { number, claimant, deadline } = attempt;
    const { clock, random, observer } = this.#options;
    this.#attempts.add(number);
    let last: unknown;
    try {
      const bucket = this.#opened ??= await deadline.wait(this.#bucket());
      let found: Entry | undefined;
      for (;;) {
        try {
          const step: ClaimStep = found !== undefined
            ? await this.#consider(attempt, bucket, found)
            : await this.#create(attempt, bucket) ?? await this.#read(attempt, bucket);
          if ("result" in step) return step.result;
          found = step.found;
        } catch (error) {
          if (deadline.over !== undefined || !isAmbiguous(error)) throw error;
          last = error;
          // if the claim was written although the call failed, the next step finds it by its nonce
          await deadline.wait(delay(clock, backoff(random, attempt.failures++, ...PAUSES.claim)));
          found = undefined;
        }
      }
    } catch (error) {
      if (attempt.leavesClaim && attempt.ran !== "here") void this.#removeClaim(attempt);
      return withoutResult(claimant, error, { ran: attempt.ran, over: deadline.over, last, observer });
    } finally {
      this.#attempts.delete(number);
      deadline[Symbol.dispose]();
    }
  }

  /**
   * Removes the claim of an attempt that has ended and did not run, if the store has one ({@link
   * GuardedCall.leavesClaim}): other nodes would wait for that claim until it expires. The store is read until it has
   * answered twice, because a write without an answer may be carried out after the first read. Never rejects.
   */
  async #removeClaim({ key, claim: { nonce } }: GuardedCall): Promise<void> {
    const { clock, observer } = this.#options;
    const { answers, closing } = this.#store;
    const end = clock.monotonic() + LEASE;
    for (let reads = 0; reads < 2 && clock.monotonic() < end;) {
      try {
        await delay(clock, LATE, closing);
      } catch {
        return; // the store closes: the claim expires
      }
      try {
        const bucket = await this.#bucket();
        const found = await answers.within(answerLimit(0), bucket.get(key));
        reads++;
        const record = found && readClaim(found.value);
        if (record?.state !== "running" || record.nonce !== nonce) continue;
        if (await bucket.delete(key, { revision: found!.revision })) return;
      } catch (error) {
        if (isAmbiguous(error)) continue;
        if (!closing.aborted) observer({ type: "fault", during: "removing a claim", error });
        return;
      }
    }
  }

  /**
   * Claims a command's id that was free when last read, and runs the handler. Resolves with `undefined` if the id is
   * taken.
   */
  #create(attempt: GuardedCall, bucket: Bucket): MaybePromise<ClaimStep | undefined> {
    const { key, text } = attempt;
    if (attempt.ran === "here" || this.#runs.has(key)) return undefined;
    return this.#runUnder(attempt, bucket, () => bucket.create(key, text, { ttl: LEASE }));
  }

  /** Reads the entry under a command's id that this attempt could not claim. */
  async #read(attempt: GuardedCall, bucket: Bucket): Promise<ClaimStep> {
    const { key, claimant, deadline, ran } = attempt;
    const found = await deadline.wait(bucket.get(key));
    if (found !== undefined) return { found };
    if (ran !== "here") return await this.#afterRunHere(attempt) ?? { found };
    return { result: outcomeUnknown(claimant, "it outlived its claim, and no attempt has recorded a result") };
  }

  /**
   * Decides the next step of an attempt by the entry found under the command's id: a claim or a result, of this attempt
   * or of another one.
   */
  async #consider(attempt: GuardedCall, bucket: Bucket, found: Entry): Promise<ClaimStep> {
    const { claim, claimant } = attempt;
    const record = readClaim(found.value);
    if (record === undefined) return { result: noClaim(found.key, bucket.name) };
    const { state, endpoint, nonce } = record;
    if (state === "running" && attempt.ran !== "here") {
      // this attempt's own claim, whose acknowledgement was lost or late, is written again because its age is unknown
      const own = nonce === claim.nonce ? attempt.first : undefined;
      if (own !== undefined || (endpoint === claim.endpoint && !this.#isRunning(nonce))) {
        return await this.#takeOver(attempt, bucket, found, own);
      }
    }
    if (record.fingerprint !== claim.fingerprint) return { result: idReused(claimant) };
    if (record.state === "done") return { result: resultOf(record) };
    if (attempt.ran === "new") attempt.ran = "elsewhere";
    const change = await this.#wait.change(bucket, found, record, attempt.deadline);
    if (!change.gone || attempt.ran === "here") return change;
    return await this.#takeOver(attempt, bucket, change.found);
  }

  /**
   * Waits for the end of another attempt's run in this process, whose claim is lost, then has the entry read again: the
   * first result counts, and the process may stand still for longer than a lease in each run, so that no run would ever
   * end before the next one began. `undefined`: there is no such run.
   */
  #afterRunHere(attempt: GuardedCall): Promise<ClaimStep> | undefined {
    const run = attempt.ran === "here" ? undefined : this.#runs.get(attempt.key);
    if (run === undefined) return undefined;
    attempt.ran = "elsewhere";
    run.ended ??= Promise.withResolvers();
    return attempt.deadline.wait(run.ended.promise).then(() => ({ found: undefined }));
  }

  /** Returns true if the nonce is that of a running attempt of this process. */
  #isRunning(nonce: string): boolean {
    return nonce.startsWith(this.#own) && this.#attempts.has(Number(nonce.slice(this.#own.length)));
  }

  /**
   * Overwrites a claim that has no running attempt, or this attempt's own claim. `sent`: a time before the write of the
   * claim, if it is known; the claim may have expired if this is a lease ago. Rejects with `UNAVAILABLE` if the store
   * refuses the write while a removal of the claim is under way.
   */
  async #takeOver(
    attempt: GuardedCall,
    bucket: Bucket,
    { revision }: Entry,
    sent: Stamp = LONG_AGO,
  ): Promise<ClaimStep> {
    const later = this.#afterRunHere(attempt);
    if (later !== undefined) return await later;
    const { key, text, failures } = attempt;
    const isOwn = (stored: string) => stored === text;
    const entry = new LeasedEntry(this.#store, key, LEASE, { revision, sent, isOwn });
    let found: Entry | undefined;
    const step = await this.#runUnder(attempt, bucket, async () => {
      const made = await entry.renew(answerLimit(failures), () => text);
      if (made === "written") return entry.revision;
      found = made.found;
    });
    return step ?? { found };
  }

  /**
   * Writes the claim (`write`), runs the handler under it, then records the result or frees the id. Resolves with
   * `undefined`, and has not run the handler, if another attempt was faster, or if the claim was too old when it was
   * acknowledged.
   */
  async #runUnder(
    attempt: GuardedCall,
    bucket: Bucket,
    write: () => Promise<number | undefined>,
  ): Promise<ClaimStep | undefined> {
    const { key, claim, claimant, deadline } = attempt;
    const { clock } = this.#options;
    if (deadline.over !== undefined) throw deadline.over;
    const entered = this.#writes.enter();
    const leave = entered instanceof Promise ? await deadline.waitForTurn(entered, (late) => late()) : entered;
    const sent = stamp(clock);
    attempt.first ??= sent;
    const writing = write();
    let revision: number | undefined;
    let now: Stamp; // read once for all that follows at once: in Deno, the clocks take 0.13 µs
    try {
      const limit = answerLimit(attempt.failures);
      revision = await this.#store.answers.within(limit, writing, sent.monotonic, deadline);
      now = stamp(clock);
      leave(between(sent, now));
    } catch (error) {
      leave(timeOfFailed(error));
      attempt.leavesClaim = true;
      if (deadline.over !== undefined) {
        // remove the claim if its acknowledgement comes late; if that fails, the claim expires
        writing.then((revision) => revision !== undefined && bucket.delete(key, { revision })).catch(() => {});
      }
      throw error;
    }
    // the claim's age is not certain enough if the process or the store stood still: it is written again
    if (revision === undefined) return undefined;
    if (between(sent, now) > FRESH) {
      attempt.leavesClaim = true;
      return undefined;
    }
    const onLost = (why: string) => claimant.lost(claimLost(claimant, why));
    const held = new HeldClaim(this.#store, key, claim, { revision, sent, now }, onLost);
    // after a pause of this process the deadline's own timer may run last
    if (now.monotonic >= claimant.due) deadline.expire();
    if (deadline.over !== undefined) {
      // if the claim cannot be removed, it expires
      held.free().catch(() => {});
      throw deadline.over;
    }
    attempt.ran = "here";
    this.#runs.set(key, attempt);
    try {
      return await this.#runHeld(attempt, held);
    } finally {
      this.#runs.delete(key);
      attempt.ended?.resolve();
    }
  }

  /** Runs the handler under a claim that this process holds, then records the result or frees the id. */
  async #runHeld(attempt: GuardedCall, held: HeldClaim): Promise<ClaimStep> {
    const { claim, claimant, deadline } = attempt;
    const { clock } = this.#options;
    let result: Result<unknown>;
    try {
      const ran = attempt.run(held.fence, () => held.check());
      result = ran instanceof Promise ? await ran : ran;
    } catch (error) {
      const { contract, id } = claimant;
      this.#options.observer({ type: "handler-failed", contract, id, error });
      result = fail("HANDLER_FAILED", `the handler of ${contract} threw (message ${id})`, { cause: error });
    }
    const ended = stamp(clock);
    held.check(ended);
    if (!result.ok && !result.error.final) {
      // if the store does not answer, the claim expires
      const ending = await deadline.wait(held.free()).catch((): Ending => "unknown");
      // the handler may have failed only because it was aborted after its claim was lost: then the result of the
      // attempt that has the claim counts
      return held.lost || ending === "lost" ? { found: undefined } : { result };
    }
    let done: DoneText;
    let ending: Ending;
    try {
      done = writeDone(claim, result, Infinity);
      this.#checkSize(done.text);
      ending = await held.keep(done.text, claimant.ttl, ended);
    } catch (error) {
      done = writeDone(claim, this.#withoutValue(claimant, result, error), SHORT_ERROR);
      ending = await held.keep(done.text, claimant.ttl);
    }
    return this.#recorded(claimant, done, ending);
  }

  /** Makes the failure to be recorded in place of a result that cannot be recorded because of `error`. */
  #withoutValue({ contract, id }: Claimant, result: Result<unknown>, error: unknown): Result<unknown> {
    if (!isCatgaError(error) || !result.ok) return result;
    const short = unfit(error, `${contract} (id ${id.slice(0, 80)}) has run, but its result cannot be kept`);
    this.#options.observer({ type: "fault", during: `keeping a result of ${contract}`, error: short.error });
    return short;
  }

  /** Returns the step after the write of a result. */
  #recorded(claimant: Claimant, done: DoneText, ending: Ending): ClaimStep {
    if (ending === "lost") return { found: undefined };
    if (ending === "unknown") {
      return { result: outcomeUnknown(claimant, "the store does not say whether its result was kept") };
    }
    // the result is decoded from its text, so that it is what other attempts will read
    return { result: copyOf(done) };
  }

  /**
   * Throws `TOO_LARGE` for the record of a result that is too large for an answer to another node: the senders at that
   * node would get another result than those at this one. A record is longer than the answer that is made of it.
   */
  #checkSize(record: string): void {
    const error = unlessFits("it", record, payloadLimit(this.#options.maxPayload()), "return");
    if (error !== undefined) throw error;
  }
}

/** Pause before each look for a claim that was written without an answer, in ms. */
const LATE = 1_000;
/** Maximum size of an error's details that are kept if the record is too large, in bytes. */
const SHORT_ERROR = 1_024;
