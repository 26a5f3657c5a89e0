/**
 * One recorded result per id: an attempt claims the id before its handler runs, and its result replaces the claim, by
 * compare-and-set; every other attempt, on whichever node, waits for that result and returns it.
 */
import { type Clock, delay, type Random, token } from "../../ports/clock.ts";
import { DeadlineWheel } from "../../dispatch/deadline_wheel.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import { fail, type Failure, type Result } from "../../contract/result.ts";
import type { Claimant, Claims, Liveness } from "../../dispatch/shared_state.ts";
import type { ClaimedRun } from "../../contract/shared_state.ts";
import { Answers, mayHaveHappened } from "../store/ambiguous_writes.ts";
import { type DoneClaim, readClaim, resultOf, type RunningClaim, unfit, writeDone } from "./claim_record.ts";
import { ClaimWait } from "./claim_wait.ts";
import { fingerprint } from "./fingerprint.ts";
import { type Acquired, type Ending, FRESH, HeldClaim, LEASE } from "./held_claim.ts";
import { elapsed, JumpWatch, stamp } from "../store/lease.ts";
import { openOnce } from "../store/open_once.ts";
import { CallerDeadline } from "./caller_deadline.ts";

/** What is left of an error that the store finds too large, in bytes. */
const SHORT_ERROR = 1_024;
/** Into how many parts the ids of a contract are divided: who waits watches one of them, and not all that is kept. */
const SHARDS = 64;

/** What an {@link IdempotencyStore} is made of. */
export interface IdempotencyOptions {
  /** Opens the bucket; called until it succeeds. */
  readonly bucket: () => Promise<Bucket>;
  readonly clock: Clock;
  readonly random: Random;
  /** This process, `<id>.<nonce>`; no other store has it. */
  readonly endpoint: string;
  readonly liveness: Liveness;
  readonly observer: Observer;
}

/** How an attempt begins: `run` is called at most once. */
interface Attempt {
  readonly key: string;
  readonly claim: RunningClaim;
  readonly text: string;
  readonly claimant: Claimant;
  readonly run: ClaimedRun;
  readonly patience: CallerDeadline;
  /** `"new"`: nobody is known to have run this id; `"elsewhere"`: somebody has, or does; `"here"`: this attempt has. */
  ran: "new" | "elsewhere" | "here";
}

/**
 * The claims of one node. Costs two writes for a command that is new.
 *
 * - A result is kept for the claimant's `ttl`; a failure only when it is `final`, any other one frees the id for the next
 *   attempt. Everybody gets the result as it was kept, after JSON; the one who ran the handler as well.
 * - A result that JSON cannot encode, or that is too large, is kept as a final failure (`INVALID_RESPONSE`, `TOO_LARGE`): the
 *   handler has had its effects, and must not have them again.
 * - A claim lives for 20 s without its holder, and no longer than `liveness` says that it is gone. So a run is alone although
 *   its process stands still for up to 15 s. One that may have lost its claim is told ({@link Claimant.lost}); one that has
 *   cannot keep its result: it returns the one that is kept, or `OUTCOME_UNKNOWN`.
 * - Without the store nothing runs: `UNAVAILABLE`, for a claim whose acknowledgement was lost as well, because only the
 *   attempt that made it would have run under it. What it may have left in the store hinders other nodes for a lease.
 * - A sender that gives up gets `OUTCOME_UNKNOWN` when somebody may have run the id, and may send it again.
 */
export class IdempotencyStore implements Claims {
  readonly #options: IdempotencyOptions;
  readonly #wait: ClaimWait;
  /** Of those who wait, and of renewals. */
  readonly #wheel: DeadlineWheel;
  readonly #jumps: JumpWatch;
  readonly #answers: Answers;
  /** The attempts of this process that may run, by their nonces: a claim of ours that is not among them is nobody's. */
  readonly #attempts = new Set<string>();
  readonly #closing = new AbortController();
  readonly #bucket: () => Promise<Bucket>;

  constructor(options: IdempotencyOptions) {
    this.#options = options;
    this.#wheel = new DeadlineWheel(options.clock);
    this.#jumps = new JumpWatch(options.clock);
    this.#answers = new Answers(options.clock);
    this.#bucket = openOnce(options.bucket);
    this.#wait = new ClaimWait(options.clock, options.liveness, this.#bucket);
  }

  async guard(claimant: Claimant, run: ClaimedRun): Promise<Result<unknown>> {
    const { contract, id } = claimant;
    const { random, endpoint } = this.#options;
    if (this.#closing.signal.aborted) return { ok: false, error: closed() };
    const nonce = token(random, 12);
    let claim: RunningClaim;
    try {
      claim = { state: "running", fingerprint: fingerprint(claimant.payload), nonce, endpoint };
    } catch (cause) {
      return fail("INVALID_MESSAGE", `the payload of ${contract} cannot be encoded as JSON`, { cause });
    }
    using patience = new CallerDeadline(this.#wheel, claimant);
    const [key, text] = [keyOf(contract, id), JSON.stringify(claim)];
    const attempt: Attempt = { key, claim, text, claimant, run, patience, ran: "new" };
    this.#attempts.add(nonce);
    try {
      return await this.#settle(attempt);
    } catch (error) {
      return this.#failed(attempt, error);
    } finally {
      this.#attempts.delete(nonce);
    }
  }

  /** Ends waiting and renewing. A handler that still runs may end, and its result be kept while its lease lives. */
  close(): Promise<void> {
    this.#closing.abort(closed());
    this.#wheel.abort(closed());
    return Promise.resolve();
  }

  /** Until there is a result. Rejects with why it is given up, and with what the store says when that does not pass. */
  async #settle(attempt: Attempt): Promise<Result<unknown>> {
    const [{ clock, random }, { patience }] = [this.#options, attempt];
    const bucket = await patience.wait(this.#bucket());
    let found: Entry | undefined;
    for (let failures = 0;;) {
      try {
        const step: Step = found === undefined
          ? await this.#claim(attempt, bucket)
          : await this.#consider(attempt, bucket, found);
        if ("result" in step) return step.result;
        found = step.found;
      } catch (error) {
        if (patience.over !== undefined || !mayHaveHappened(error)) throw error;
        // a claim that was written all the same is found by its nonce
        await patience.wait(delay(clock, random() * Math.min(1_000, 50 * 2 ** failures++)));
        found = undefined;
      }
    }
  }

  async #claim(attempt: Attempt, bucket: Bucket): Promise<Step> {
    const { key, text, patience } = attempt;
    if (attempt.ran !== "here") {
      const acquired = await this.#acquire(attempt, bucket, () => bucket.create(key, text, { ttl: LEASE }));
      if (acquired !== undefined) return await this.#hold(attempt, bucket, acquired);
    }
    const found = await patience.wait(bucket.get(key));
    if (found !== undefined || attempt.ran !== "here") return { found };
    return { result: unknown(attempt, "it outlived its claim, and nobody has recorded a result") };
  }

  /** Somebody has claimed the id. */
  async #consider(attempt: Attempt, bucket: Bucket, found: Entry): Promise<Step> {
    const { claim, claimant: { contract, id } } = attempt;
    const record = readClaim(found.value);
    if (record === undefined) {
      const key = JSON.stringify(found.key);
      const message = `what stands under ${key} in the bucket ${bucket.name} is no claim; delete it`;
      return { result: fail("INVALID_RESPONSE", message) };
    }
    const { state, endpoint, nonce } = record;
    if (state === "running" && attempt.ran !== "here") {
      // nobody knows when one of ours was written whose acknowledgement was lost, or late: it is written again
      const ours = nonce === claim.nonce;
      if (ours || (endpoint === claim.endpoint && !this.#attempts.has(nonce))) {
        return await this.#takeOver(attempt, bucket, found);
      }
    }
    if (record.fingerprint !== claim.fingerprint) {
      const message = `the id ${JSON.stringify(id)} of ${contract} came before with another payload; give each its own`;
      return { result: fail("ID_REUSED", message) };
    }
    if (record.state === "done") return { result: resultOf(record) };
    if (attempt.ran === "new") attempt.ran = "elsewhere";
    const change = await this.#wait.change(bucket, found, record, attempt.patience);
    return change.gone && attempt.ran !== "here" ? await this.#takeOver(attempt, bucket, change.found) : change;
  }

  /** Puts this attempt in the place of one that does not run, or of itself. */
  async #takeOver(attempt: Attempt, bucket: Bucket, found: Entry): Promise<Step> {
    const { key, text, patience } = attempt;
    const taking = () => bucket.update(key, text, found.revision, { ttl: LEASE });
    const acquired = await this.#acquire(attempt, bucket, taking);
    if (acquired !== undefined) return await this.#hold(attempt, bucket, acquired);
    return { found: await patience.wait(bucket.get(key)) };
  }

  /** A claim that is written now, unless it was lost to another one, or has become too old to begin with meanwhile. */
  async #acquire(
    { key, patience }: Attempt,
    bucket: Bucket,
    write: () => Promise<number | undefined>,
  ): Promise<Acquired | undefined> {
    const { clock } = this.#options;
    const sent = stamp(clock);
    const writing = write();
    try {
      const revision = await patience.wait(writing);
      // this process stood still, or the store did
      if (revision === undefined || elapsed(clock, sent) > FRESH) return undefined;
      return { revision, sent };
    } catch (error) {
      if (patience.over !== undefined) abandon(bucket, key, writing);
      throw error;
    }
  }

  /** Runs the handler under a claim of ours, and records what comes of it. */
  async #hold(attempt: Attempt, bucket: Bucket, acquired: Acquired): Promise<Step> {
    const { key, claim, claimant, patience } = attempt;
    const { clock, random, observer } = this.#options;
    const [wheel, jumps, answers, closing] = [this.#wheel, this.#jumps, this.#answers, this.#closing.signal];
    const store = { bucket, clock, wheel, jumps, answers, random, observer, closing };
    const held = new HeldClaim(store, key, claim, acquired, (why) => claimant.lost(lost(claimant, why)));
    // after a freeze its timers may come last
    if (clock.monotonic() >= claimant.due) patience.expire();
    if (patience.over !== undefined) {
      // nobody waits any more; when it fails, its lease ends
      held.free().catch(() => {});
      throw patience.over;
    }
    attempt.ran = "here";
    const result = await this.#run(attempt, held);
    held.check();
    if (!result.ok && !result.error.final) {
      // whether or not it comes to be known: the lease ends
      const ending = await patience.wait(held.free()).catch((): Ending => "unknown");
      // it may have failed because its signal aborted: the result is that of the other
      return held.lost || ending === "lost" ? { found: undefined } : { result };
    }
    const { ending, text } = await this.#keep(held, claim, claimant, result);
    if (ending === "lost") return { found: undefined };
    if (ending === "unknown") return { result: unknown(attempt, "the store does not say whether its result was kept") };
    // what others will be given; it was written right above
    return { result: resultOf(readClaim(text) as DoneClaim) };
  }

  async #run(attempt: Attempt, held: HeldClaim): Promise<Result<unknown>> {
    try {
      return await attempt.run(held.fence, () => held.check());
    } catch (error) {
      const { contract, id } = attempt.claimant;
      this.#options.observer({ type: "handler-failed", contract, id, error });
      return fail("HANDLER_FAILED", `the handler of ${contract} threw (message ${id})`, { cause: error });
    }
  }

  /** Keeps a result, or in place of one that cannot be kept the failure that says so. */
  async #keep(
    held: HeldClaim,
    claim: RunningClaim,
    { contract, id, ttl }: Claimant,
    result: Result<unknown>,
  ): Promise<{ ending: Ending; text: string }> {
    const kept = async (what: Result<unknown>, limit: number) => {
      const text = writeDone(claim, what, limit);
      return { ending: await held.keep(text, ttl), text };
    };
    try {
      return await kept(result, Infinity);
    } catch (error) {
      if (!isCatgaError(error) || !result.ok) return await kept(result, SHORT_ERROR);
      const instead = unfit(error, `${contract} (id ${id.slice(0, 80)}) has run, but its result cannot be kept`);
      this.#options.observer({ type: "fault", during: `keeping a result of ${contract}`, error: instead.error });
      return await kept(instead, SHORT_ERROR);
    }
  }

  /** What the sender gets when there is no result. */
  #failed(attempt: Attempt, error: unknown): Failure {
    const { ran, patience, claimant: { contract } } = attempt;
    if (!isCatgaError(error) && ran !== "new") {
      this.#options.observer({ type: "fault", during: `keeping a result of ${contract}`, error });
      return unknown(attempt, "there is no result", error);
    }
    if (!isCatgaError(error)) { // a key that no bucket takes is the sender's affair
      const sender = error instanceof TypeError || error instanceof RangeError;
      if (!sender) this.#options.observer({ type: "fault", during: `claiming an id of ${contract}`, error });
      const message = `${contract}: its id cannot be claimed: ${error instanceof Error ? error.message : error}`;
      return fail(sender ? "INVALID_MESSAGE" : "UNAVAILABLE", message, { cause: error });
    }
    if (error.code === "CANCELLED") return { ok: false, error };
    if (ran !== "new") {
      return unknown(attempt, `there is no result yet (${error.message})`, error);
    }
    if (error !== patience.over && error.code !== "UNAVAILABLE" || error.code === "CLOSED") return { ok: false, error };
    const message = `command ${contract} did not run: its id could not be claimed (${error.message})`;
    return fail("UNAVAILABLE", message, { retryable: true, cause: error });
  }
}

/** What follows for an attempt: a result, or what is found under its key. */
type Step = { readonly result: Result<unknown> } | { readonly found: Entry | undefined };

/** The entry of an id: `<contract>-<shard>/<id>`. */
function keyOf(contract: string, id: string): string {
  // FNV-1a
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return `${contract}-${((hash >>> 16) % SHARDS).toString(16).padStart(2, "0")}/${id}`;
}

/** Gives a claim back that was made too late; when that fails its lease ends. */
function abandon(bucket: Bucket, key: string, writing: Promise<number | undefined>): void {
  writing.then((revision) => revision !== undefined && bucket.delete(key, { revision })).catch(() => {});
}

function lost({ contract, id }: Claimant, why: string): CatgaError {
  const message = `the claim of ${contract} (id ${id.slice(0, 80)}) is lost: ${why}. Stop: another attempt may run`;
  return new CatgaError("OUTCOME_UNKNOWN", message, { retryable: true });
}

function unknown({ claimant: { contract } }: Attempt, why: string, cause?: unknown): Failure {
  const message = `command ${contract} may have run: ${why}. Send it again with the same id`;
  return fail("OUTCOME_UNKNOWN", message, { retryable: true, ...(cause === undefined ? {} : { cause }) });
}

function closed(): CatgaError {
  return new CatgaError("CLOSED", "the app is stopped");
}
