/**
 * A command of an entity, on its way through its node: its deadline, its conflicts (another command of the entity was
 * stored first), the events and the result that its handler has decided on, and the answer to its sender.
 */
import { ContextSnapshot } from "../data/async_context.ts";
import type { EntityBody } from "../contract/declaration/handler.ts";
import {
  applied,
  Deciding,
  type EmittedPayload,
  type EntityDefinition,
} from "../contract/declaration/entity_definition.ts";
import { REDACT_HEADER } from "../contract/declaration/redaction.ts";
import { isFailure } from "../contract/calls/result.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { freezePlain, isThenable } from "../data/checks.ts";
import { storedLimit, tooLarge } from "../data/message_room.ts";
import { byteLength } from "../data/utf8.ts";
import { cannotBeSent, decodeText, toText } from "../data/encoding.ts";
import { fingerprint } from "../data/value_text.ts";
import { withCarried } from "../dispatch/carried_headers.ts";
import type { DecidingMessage, Settling } from "../dispatch/context_host.ts";
import { CatgaError, unavailable } from "../error.ts";
import { commandText, eventText, withoutName } from "../log/format/entity_group.ts";
import { MAX_ITEMS_IN_GROUP } from "../log/format/group_text.ts";
import type { EntitiesHost } from "./snapshots.ts";
import { type CommandIdentity, type FoundCommand, ID_REUSE_TIME, MAX_CLOCK_SKEW } from "./stored_commands.ts";
import { hashOf } from "./recent_commands.ts";
import type { QueuedCommand } from "./turns.ts";

/** Parts from which a {@link PendingCommand}, a command that waits for its entity, is made. */
interface PendingCommandOptions {
  readonly host: EntitiesHost;
  readonly body: EntityBody;
  readonly subject: string;
  /** Id of the entity. */
  readonly id: string;
  /** Payload, parsed by the contract's schema. */
  readonly payload: unknown;
  readonly ctx: DecidingMessage;
  /** Receives the command's result. */
  readonly to: Settling;
}

/** An entity's state, on which a handler is called, and its version: the number of the events that made it. */
export interface VersionedState {
  readonly version: number;
  readonly state: unknown;
}

/**
 * The decision of a command's handler: the events to store, and the result. All objects that a command keeps during its
 * append are instances of classes: V8 allocates literals that mostly survive a collection as old objects, each of which
 * keeps everything of its command in memory until the next full collection (docs/internals/measurements.md).
 */
export class CommandDecision implements VersionedState {
  readonly version: number;
  readonly state: unknown;
  /** The command, encoded to be stored; `undefined`: nothing is stored. */
  readonly command: string | undefined;
  /** The command's events, encoded and joined by commas. */
  readonly events: string;
  /**
   * Names of the contracts of the command's events, joined by commas, in order; a name is left out behind the same
   * name. It is one text, because V8 would keep a list for longer.
   */
  readonly contracts: string;
  /** Number of the command's events. */
  readonly count: number;
  /** True if the handler threw. */
  readonly threw: boolean;
  /** Value that the handler returned or threw. */
  readonly value: unknown;

  constructor(
    { version, state }: VersionedState,
    { threw, value }: { readonly threw: boolean; readonly value: unknown },
    stored?: Pick<CommandDecision, "events" | "contracts" | "count"> & { readonly command: string },
  ) {
    this.version = version;
    this.state = state;
    this.command = stored?.command;
    this.events = stored?.events ?? "";
    this.contracts = stored?.contracts ?? "";
    this.count = stored?.count ?? 0;
    this.threw = threw;
    this.value = value;
  }

  /** Number of characters of `command` and `events` together. */
  get length(): number {
    return (this.command?.length ?? 0) + this.events.length;
  }
}

/** A command that an entity of this node is handling. */
export class PendingCommand implements QueuedCommand, CommandIdentity {
  readonly body: EntityBody;
  readonly subject: string;
  readonly entity: string;
  readonly ctx: DecidingMessage;
  readonly id: string;
  /** Time at which the command arrived, by the monotonic clock. */
  readonly arrived: number;
  /** Deadline of the attempts to store the command, by the monotonic clock. */
  readonly due: number;
  /** True if another send may have used the same id: the sender chose the id, or the command was queued. */
  readonly hasGivenId: boolean;
  /** Number of conflicts: each time another command was stored first, and this command's handler was called again. */
  conflicts = 0;
  /**
   * The handler's decision (events and result), kept to be stored later, and the state of the entity on which it was
   * made; `undefined`: no decision is kept.
   */
  deciding: (VersionedState & { readonly decided: CommandDecision | Promise<CommandDecision> }) | undefined = undefined;
  /** True if an append of the command got no answer, and this node has not yet read the messages stored since then. */
  mayBeStored = false;
  /** True if the command has its result. */
  settled = false;
  readonly #host: EntitiesHost;
  readonly #payload: unknown;
  #context: ContextSnapshot | undefined = undefined;

  readonly #to: Settling;
  #fingerprint: string | undefined;
  #sendHash: number | undefined = undefined;

  constructor({ host, body, subject, id, payload, ctx, to }: PendingCommandOptions) {
    this.#host = host;
    this.body = body;
    this.subject = subject;
    this.entity = id;
    this.#payload = payload;
    this.ctx = ctx;
    this.id = ctx.id;
    this.arrived = host.clock.monotonic();
    this.due = storeDeadline(ctx, this.arrived);
    const { envelope: { send, span, call, attempt, position } } = ctx;
    this.hasGivenId = send !== undefined || position !== undefined ||
      (span === undefined && attempt === 1 && this.id !== call);
    this.#to = to;
  }

  get call(): string {
    return this.ctx.envelope.call;
  }

  get ancestry(): readonly string[] {
    return this.ctx.envelope.ancestry;
  }

  get name(): string {
    return this.ctx.contract.name;
  }

  get send(): string {
    return this.ctx.envelope.send ?? this.id;
  }

  get sendHash(): number {
    return this.#sendHash ??= hashOf(this.send, hashOf(this.subject) | 0);
  }

  /** True if this is certainly the only attempt of the command. */
  get isOnlyAttempt(): boolean {
    return this.ctx.envelope.only === true;
  }

  /** True if another attempt of the command may have been handled before, or may still be running. */
  get mayHaveEarlierAttempt(): boolean {
    return this.ctx.envelope.span !== undefined;
  }

  /**
   * Returns how long before `now`, in ms, an earlier attempt of the command can have been stored at most, or a record
   * which says that its send has ended. `now`: the time by the monotonic clock; `time`: the same moment by the server's
   * clock.
   */
  maxAttemptAge(now: number, time: number): number {
    const { span, sentAt = this.arrived, storedAt } = this.ctx.envelope;
    if (storedAt !== undefined) return MAX_CLOCK_SKEW + Math.max(0, time - storedAt);
    const age = span === undefined ? now - sentAt : span - this.ctx.remaining(now);
    return MAX_CLOCK_SKEW + (this.hasGivenId ? Math.max(ID_REUSE_TIME, age) : age);
  }

  /** Names the command and its entity, for errors. */
  get what(): string {
    return `${this.name} of ${this.body.definition.name} ${this.entity}`;
  }

  /**
   * Keeps the async context of the caller, which belongs to the command's sender: the handler may be called later, from
   * another command's callbacks.
   */
  keepContext(): void {
    this.#context ??= new ContextSnapshot();
  }

  /** The async context of the command's sender; `undefined`: it was not kept. */
  get context(): ContextSnapshot | undefined {
    return this.#context;
  }

  /**
   * Calls the handler with a state of the entity (`on`), and returns its decision: events and result. Returns a promise
   * only if the handler is asynchronous. Never throws or rejects.
   */
  decide(on: VersionedState): CommandDecision | Promise<CommandDecision> {
    const { ctx, body: { definition, decide } } = this;
    const deciding = new Deciding(definition, this.entity, on.version, on.state);
    try {
      const made = decide(deciding, this.#payload, ctx);
      if (!isThenable(made)) return this.#decided(deciding, on, made);
      return this.#settled(Promise.resolve(made)).then(
        (returned) => this.#decided(deciding, on, returned),
        (thrown) => this.#thrown(deciding, on, thrown),
      );
    } catch (thrown) {
      return this.#thrown(deciding, on, thrown);
    }
  }

  #decided(deciding: Deciding<unknown>, on: VersionedState, returned: unknown): CommandDecision {
    const { ctx, name, id } = this;
    const { emitted } = deciding;
    deciding.end();
    if (ctx.aborted !== undefined) return this.#withoutEvents(on, { threw: true, value: ctx.aborted });
    if (isFailure(returned) || emitted.length === 0) return this.#withoutEvents(on, { threw: false, value: returned });
    try {
      const of = { definition: this.body.definition, id: this.entity, state: on.state };
      const { items, contracts, state, result } = encodeEmitted(of, { name, events: emitted, value: returned });
      const { correlationId } = ctx;
      const command = commandText({
        name,
        id,
        events: items.length,
        result,
        fingerprint: this.hasGivenId ? this.#payloadFingerprint : undefined,
        correlation: correlationId === id ? undefined : correlationId,
        headers: withRedactions(withCarried(this.#host.carried, ctx.headers, undefined), of.definition, emitted),
      });
      const events = items.join();
      this.#checkSize(command, events);
      const stored = { command, events, contracts, count: items.length };
      return new CommandDecision(
        { version: on.version + items.length, state },
        { threw: false, value: returned },
        stored,
      );
    } catch (thrown) {
      return this.#withoutEvents(on, { threw: true, value: thrown });
    }
  }

  #thrown(deciding: Deciding<unknown>, on: VersionedState, thrown: unknown): CommandDecision {
    deciding.end();
    return this.#withoutEvents(on, { threw: true, value: thrown });
  }

  /** Ends the command with an outcome that was recorded for an earlier attempt. */
  answer(found: FoundCommand): void {
    if (found.type === "ended") {
      const why = "another attempt of it has failed, or changed nothing";
      return this.reject(this.#conflict(why));
    }
    const { fingerprint, result } = found.command;
    try {
      if (fingerprint !== undefined && fingerprint !== this.#payloadFingerprint) {
        const message = `${this.what}: its id ${this.id} is that of a command with another payload`;
        return this.reject(new CatgaError("ID_REUSED", message));
      }
      this.resolve(result === undefined ? undefined : decodeText(result));
    } catch (error) {
      this.reject(error);
    }
  }

  /** Ends the command with its decision, once the decision is stored or needs no storing. */
  settle({ threw, value }: CommandDecision): void {
    if (threw) this.reject(value);
    else this.resolve(value);
  }

  resolve(value: unknown): void {
    this.settled = true;
    this.#to.resolve(value);
  }

  reject(reason: unknown): void {
    this.settled = true;
    this.#to.reject(reason);
  }

  /** Ends a command that was still waiting for earlier commands of its entity: it certainly was not applied. */
  drop(why: "late" | "deadlock"): void {
    this.ctx.execution.stage = "handler";
    this.reject(notBegun(this.what, why));
  }

  /**
   * Marks the command as begun; called when no earlier command of its entity runs. Returns true if its handler may be
   * called, false if the command was aborted before.
   */
  beginUnlessAborted(): boolean {
    const { ctx } = this;
    // if the command was aborted while it waited, its sender was told that it did not begin
    ctx.execution.stage = "handler";
    const { aborted } = ctx;
    if (aborted === undefined) return true;
    this.reject(aborted.code === "TIMEOUT" ? notBegun(this.what, "late", aborted) : aborted);
    return false;
  }

  /** Returns true if the command's deadline has passed, or it was aborted. `now`: the time by the monotonic clock. */
  isOver(now: number): boolean {
    return now >= this.due || this.ctx.aborted !== undefined;
  }

  /**
   * Ends a command whose deadline has passed, or that was aborted: with `OUTCOME_UNKNOWN` if it may have been applied.
   * `unanswered`: true if an append of it may have been stored. `error`: error of the last attempt to store it.
   */
  giveUp({ unanswered, error }: { readonly unanswered: boolean; readonly error?: unknown }): void {
    const { aborted } = this.ctx;
    const cause = error ?? aborted;
    const last = error === undefined ? "" : `; last error: ${thrownMessage(error)}`;
    if (unanswered) return this.rejectAsUnknown(`the stream had not answered at its deadline${last}`, cause);
    if (this.mayHaveEarlierAttempt || this.mayBeStored) {
      return this.rejectAsUnknown(`an earlier attempt may have been stored, or may still be decided${last}`, cause);
    }
    if (aborted !== undefined && aborted.code !== "TIMEOUT") return this.reject(aborted);
    const message = `${this.what} was not applied: its deadline has passed${last}`;
    this.reject(unavailable(message, { cause }));
  }

  /**
   * Ends a command that cannot be handled or stored on this node; fails the command with `OUTCOME_UNKNOWN` if an
   * earlier attempt may have been stored, or may still be stored.
   */
  fail(error: unknown): void {
    if (!this.mayHaveEarlierAttempt && !this.mayBeStored) return this.reject(error);
    this.rejectAsUnknown(`an earlier attempt may still be decided; last error: ${thrownMessage(error)}`, error);
  }

  /** Ends the command with `OUTCOME_UNKNOWN`: it may have been applied. */
  rejectAsUnknown(why: string, cause?: unknown): void {
    this.reject(new CatgaError("OUTCOME_UNKNOWN", `${this.what} may have been applied: ${why}`, { cause }));
  }

  /**
   * Rejects the command if it has had more than {@link MAX_CONFLICTS} conflicts (another command of its entity was
   * stored first), and returns true then. The command fails with `CONFLICT`, and was not applied; or with
   * `OUTCOME_UNKNOWN` if another attempt of it may still be handled and stored.
   */
  rejectIfContended(): boolean {
    if (this.conflicts <= MAX_CONFLICTS) return false;
    const why = `${MAX_CONFLICTS + 1} times other commands came first`;
    if (this.mayHaveEarlierAttempt) this.rejectAsUnknown(`an earlier attempt may still be decided, and ${why}`);
    else this.reject(this.#conflict(why));
    return true;
  }

  #conflict(why: string): CatgaError {
    const message = `${this.what} was not applied: ${why}; send it again after a pause`;
    return new CatgaError("CONFLICT", message, { retryable: true });
  }

  /**
   * Makes a decision without events. If another attempt of the command may have been stored, or may still be handled,
   * the decision stores a record in the stream that prevents that attempt from being applied.
   */
  #withoutEvents(on: VersionedState, outcome: { readonly threw: boolean; readonly value: unknown }): CommandDecision {
    if (!this.mayHaveEarlierAttempt) return new CommandDecision(on, outcome);
    const command = commandText(withoutName(this.send));
    return new CommandDecision(on, outcome, { command, events: "", contracts: "", count: 0 });
  }

  /** Awaits the promise of an asynchronous handler; rejects when the command is aborted. */
  async #settled(made: Promise<unknown>): Promise<unknown> {
    const settled = await this.ctx.execution.until<{ value: unknown } | { reason: CatgaError }>(
      made.then((value) => ({ value })),
      (reason) => ({ reason }),
    );
    if ("reason" in settled) throw settled.reason;
    return settled.value;
  }

  /** Throws `TOO_LARGE` if the encoded command and its events would not fit into a message. */
  #checkSize(command: string, events: string): void {
    const limit = storedLimit(this.#host.network.maxPayload);
    if ((command.length + 1 + events.length) * 3 <= limit) return;
    const size = byteLength(command) + 1 + byteLength(events);
    if (size <= limit) return;
    throw tooLarge(`${this.what} was not applied: its events with its result`, size, limit, "emit");
  }

  get #payloadFingerprint(): string {
    return this.#fingerprint ??= payloadFingerprint(this.ctx);
  }
}

/**
 * Returns the deadline of the attempts to store a command: a little before the command's own deadline, so that its
 * sender still gets the reason of a failure. `now` and the deadline are times by the monotonic clock.
 */
export function storeDeadline(ctx: DecidingMessage, now: number): number {
  const left = ctx.remaining(now);
  return now + left - Math.min(ANSWER_MARGIN, left / 10);
}

/**
 * Makes the error of a command that was still waiting for earlier commands of its entity: it certainly was not applied.
 */
function notBegun(what: string, why: "late" | "deadlock", cause?: CatgaError): CatgaError {
  if (why === "deadlock") {
    const message = `${what} was not applied: the command that has the turn of the entity waits for this one, ` +
      "whose result its handler must not await";
    return new CatgaError("DEADLOCK", message);
  }
  const message = `${what} was not applied: its turn had not come when its deadline passed`;
  return unavailable(message, { cause });
}

function payloadFingerprint({ contract: { name }, execution: { payload } }: DecidingMessage): string {
  try {
    return fingerprint(payload);
  } catch (error) {
    throw cannotBeSent(error, "INVALID_MESSAGE", `the payload of ${name}`);
  }
}

/** Returns the headers, completed by the paths of those members of emitted events that tools must hide. */
function withRedactions(
  headers: Readonly<Record<string, string>> | undefined,
  { name, events }: EntityDefinition<unknown>,
  emitted: readonly { readonly event: string }[],
): Readonly<Record<string, string>> | undefined {
  let paths: Record<string, readonly string[]> | undefined;
  for (const { event } of emitted) {
    const redact = events.get(event)?.contract.options.redact;
    if (redact !== undefined) (paths ??= {})[event.slice(name.length + 1)] = redact;
  }
  return paths === undefined ? headers : { ...headers, [REDACT_HEADER]: JSON.stringify(paths) };
}

/**
 * Maximum number of conflicts of a command, after each of which its handler is called again.
 * @decides how many conflicts with other nodes end a command with `CONFLICT`
 */
const MAX_CONFLICTS = 8;
/** Time that is left for the answer to the sender, in ms. */
const ANSWER_MARGIN = 50;

// The events of a command in the encoding in which they will be stored. They are encoded as soon as the handler has
// returned: a handler that later changes an object that it emitted does not change the event.

/** A command's encoded events, which are to be stored, and its result. */
interface Emitted {
  /** The events, as texts that `eventText` made. */
  readonly items: readonly string[];
  /** Names of the events' contracts ({@link CommandDecision.contracts}). */
  readonly contracts: string;
  /** State of the entity after the emitted events. */
  readonly state: unknown;
  /** The result, as a text that `encodeValue` made; `undefined` for the result `undefined`. */
  readonly result: string | undefined;
}

/** The return value of a handler, and the events that it emitted. */
interface Returned {
  /** Name of the command's contract. */
  readonly name: string;
  readonly events: readonly EmittedPayload[];
  readonly value: unknown;
}

/**
 * Encodes the events that a handler emitted, and applies their decoded copies to the state, as every later reader of
 * the stream will. Throws a `CatgaError` for too many events and for values that cannot be sent, and the errors of
 * `apply` functions.
 */
export function encodeEmitted(
  { definition, id, state: before }: {
    readonly definition: EntityDefinition<unknown>;
    readonly id: string;
    readonly state: unknown;
  },
  { name, events, value }: Returned,
): Emitted {
  if (events.length > MAX_ITEMS_IN_GROUP) {
    const what = `${name} of ${definition.name} ${id}`;
    throw new CatgaError("TOO_LARGE", `${what} emitted ${events.length} events; ${MAX_ITEMS_IN_GROUP} at most`);
  }
  const items: string[] = [];
  let state = before;
  let [contracts, last] = ["", ""];
  for (const { event, payload } of events) {
    if (event !== last) contracts = contracts === "" ? event : `${contracts},${event}`;
    last = event;
    const text = payload === undefined ? undefined : toText(payload, "INVALID_MESSAGE", "the payload", event);
    items.push(eventText(event.slice(definition.name.length + 1), text));
    // the state is frozen, so that an `apply` that changes its argument throws now, before anything is stored
    state = freezePlain(applied(definition, state, event, text === undefined ? undefined : decodeText(text)));
  }
  return {
    items,
    contracts,
    state,
    result: value === undefined ? undefined : toText(value, "INVALID_RESPONSE", "the result", name),
  };
}
