/**
 * One command of an entity, from its handler to the stream. Optimistic: what it emits is stored only if nothing was stored of the entity since
 * it was read; else it is read on, and decided again. What was appended without an answer is repeated with the same bytes, and decided
 * again only when the leader of the stream has gone beyond it without it. So a command is applied once, or certainly not, or its sender
 * gets `OUTCOME_UNKNOWN`.
 */
import type { EntityBody } from "../contract/entity_body.ts";
import { Deciding } from "../contract/entity_state.ts";
import { type Failure, isFailure } from "../contract/result.ts";
import { isThenable } from "../contract/schema.ts";
import { cannotBeSent, decodeText } from "../data/encoding.ts";
import { fingerprint } from "../data/fingerprint.ts";
import type { DecidingMessage } from "../dispatch/context_host.ts";
import { CatgaError } from "../error.ts";
import { entityGroupText, headWithoutCommand } from "../log/format/entity_group.ts";
import { type Clock, delay } from "../ports/clock.ts";
import { type Emitted, emittedBy } from "./emitted.ts";
import type { EntityCopy } from "./entity_copy.ts";
import type { EntityStream } from "./entity_stream.ts";
import type { EntitiesHost } from "./host.ts";
import { rememberedAs } from "./remembered.ts";

/** What a {@link Command} is made of. */
export interface CommandOptions {
  readonly host: EntitiesHost;
  readonly stream: EntityStream;
  readonly body: EntityBody;
  readonly id: string;
  /** What the contract's schema made of it. */
  readonly payload: unknown;
  readonly ctx: DecidingMessage;
  /** The number of the first of so many events among all that this process emits. */
  number(events: number): number;
}

/** A command that is being decided. */
export class Command {
  /** The entity as far as it has been read, with what this command has changed. */
  copy: EntityCopy<unknown>;
  readonly #options: CommandOptions;
  readonly #what: string;
  /** Of its payload, made when it is first needed. */
  #fingerprint: string | undefined;
  /** Until when it tries. */
  readonly #due: number;
  /** An append ended without an answer, and may be stored. */
  #unanswered = false;
  /** What the last attempt failed with. */
  #error: CatgaError | undefined;

  /** `copy`: what is known of the entity so far. */
  constructor(options: CommandOptions, copy: EntityCopy<unknown>) {
    this.#options = options;
    this.copy = copy;
    const { ctx, host: { clock }, body: { definition }, id } = options;
    this.#due = dueOf(ctx, clock);
    this.#what = `${ctx.contract.name} of ${definition.name} ${id}`;
  }

  /**
   * Decides it. Resolves with what the handler returned, or its failure; with the recorded result if it was applied already. Rejects with a
   * `CatgaError`, and with what the handler throws.
   */
  async run(): Promise<unknown> {
    for (let conflicts = 0; conflicts <= MOST_CONFLICTS; conflicts++) {
      const known = this.#known();
      if (known !== undefined) return known.value;
      const decided = await this.#decide();
      if ("items" in decided) {
        if (await this.#append(decided)) return decided.returned;
      } else if (await this.#confirm()) {
        if ("thrown" in decided) throw decided.thrown;
        return decided.returned;
      }
      this.#checkOver();
    }
    const why = `${MOST_CONFLICTS + 1} times other commands came first`;
    if (this.#again) throw this.#unknown(`an earlier attempt may still be decided, and ${why}`);
    throw new CatgaError("CONFLICT", `${this.#what} was not applied: ${why}`, { retryable: true });
  }

  /** The recorded result, if the command was applied already. */
  #known(): { readonly value: unknown } | undefined {
    const { ctx, host, stream, body: { definition }, id } = this.#options;
    const { copy } = this;
    if (copy.forgotten) throw new CatgaError("FORGOTTEN", `${definition.name} ${id} was forgotten`);
    const { remembered } = copy;
    const known = remembered?.get(rememberedAs(ctx.contract.name, ctx.id));
    if (known !== undefined) {
      if (known.fingerprint !== this.#print) {
        throw new CatgaError("ID_REUSED", `${this.#what}: its id ${ctx.id} is that of a command with another payload`);
      }
      return { value: known.result === undefined ? undefined : decodeText(known.result) };
    }
    if (remembered?.ended(this.#send)) {
      const why = "another attempt of it has failed, or changed nothing";
      throw new CatgaError("CONFLICT", `${this.#what} was not applied: ${why}`, { retryable: true });
    }
    const { span } = ctx.envelope;
    if (span === undefined) return undefined;
    const age = span - ctx.remaining(host.clock.monotonic());
    if (remembered?.mayHaveDropped(stream.time - age - SKEW)) {
      throw this.#unknown("not all commands are remembered that were applied since it was sent first");
    }
    return undefined;
  }

  async #decide(): Promise<Decided> {
    const { copy } = this;
    const { body: { definition, decide }, id, payload, ctx } = this.#options;
    const deciding = new Deciding(definition, id, copy.version, copy.state);
    let returned: unknown;
    try {
      const made = decide(deciding, payload, ctx);
      returned = isThenable(made) ? await this.#settled(Promise.resolve(made)) : made;
    } catch (thrown) {
      if (this.#unanswered || ctx.aborted !== undefined) throw thrown;
      return { thrown };
    } finally {
      deciding.end();
    }
    if (ctx.aborted !== undefined) throw ctx.aborted;
    const { emitted: events } = deciding;
    if (isFailure(returned) || events.length === 0) return { returned };
    try {
      return { returned, ...emittedBy(copy, { name: ctx.contract.name, events, value: returned }) };
    } catch (thrown) {
      return { thrown };
    }
  }

  /** What the handler resolves with; it is given up with its message. */
  async #settled(made: Promise<unknown>): Promise<unknown> {
    const { ctx } = this.#options;
    const settled = await ctx.execution.until<{ value: unknown } | { reason: CatgaError }>(
      made.then((value) => ({ value })),
      (reason) => ({ reason }),
    );
    if ("reason" in settled) throw settled.reason;
    return settled.value;
  }

  /**
   * Whether it is stored; `false`: certainly not, and the entity was read on, so that it is decided anew. Rejects when it is certainly not
   * stored, or with `OUTCOME_UNKNOWN`.
   */
  async #append({ items, state, result }: Emitted): Promise<boolean> {
    const { copy } = this;
    const { host, ctx, number } = this.#options;
    const { clock, endpoint } = host;
    const command = ctx.id;
    const { sequence: expect, version } = copy;
    const correlation = ctx.correlationId === command ? undefined : ctx.correlationId;
    const { name } = ctx.contract;
    const head = { version, command, fingerprint: this.#print, result, correlation, headers: carried(host, ctx), name };
    const text = entityGroupText({ endpoint, first: number(items.length), sentAt: clock.now() }, head, items);
    const stored = await this.#store(text, expect);
    if (stored === undefined) return false;
    copy.change({ ...head, ...stored, state, events: items.length, size: text.length });
    return true;
  }

  /** Appends with this expectation; `undefined`: it is certainly not stored, and the entity was read on. Rejects as {@link Command.#append}. */
  async #store(
    text: string,
    expect: number,
  ): Promise<{ readonly sequence: number; readonly time: number } | undefined> {
    const { host: { clock }, stream, body: { definition }, id, ctx } = this.#options;
    const log = await stream.get();
    const subject = stream.subject(definition.name, id);
    for (let pause = FIRST_PAUSE;; pause = Math.min(LONGEST_PAUSE, pause * 2)) {
      const left = this.#due - clock.monotonic();
      if (left <= 0 || (ctx.aborted !== undefined && !this.#unanswered)) throw this.#over();
      const appended = await log.append(subject, text, { timeout: Math.max(1, Math.min(left, LONGEST_TRY)), expect });
      if (appended.type === "stored") {
        this.#unanswered = false;
        return { sequence: appended.sequence, time: log.serverTime };
      }
      if (appended.type === "conflict") {
        if (!await this.#latest()) {
          this.#unanswered = false; // its expectation can never hold again: it is among what was read, or nowhere
          return undefined;
        }
      } else {
        this.#error = appended.error;
        if (appended.type === "unknown") this.#unanswered = true;
        else if (!appended.passing && !this.#unanswered) throw appended.error;
      }
      await delay(clock, Math.min(pause, Math.max(0, this.#due - clock.monotonic())));
    }
  }

  /**
   * Whether the decision of a command that emits nothing holds: nothing was stored since the entity was read. An earlier attempt of the command,
   * on another node, may have an append under way, or may yet decide: then a message without events keeps it from being stored.
   */
  async #confirm(): Promise<boolean> {
    const { copy } = this;
    const { host: { endpoint, clock }, number } = this.#options;
    if (!this.#again) return await this.#latest();
    const { sequence: expect, version } = copy;
    const head = headWithoutCommand(version, this.#send);
    const text = entityGroupText({ endpoint, first: number(0), sentAt: clock.now() }, head, []);
    const stored = await this.#store(text, expect);
    if (stored === undefined) return false;
    copy.end(this.#send, stored);
    return true;
  }

  /** Reads on as far as the leader has it. Whether there was nothing new. While an append may be stored, no answer says nothing about it. */
  async #latest(): Promise<boolean> {
    try {
      const { same, copy } = await this.#options.stream.latest(this.copy, this.#due);
      this.copy = copy;
      return same;
    } catch (error) {
      if (this.#unanswered) throw this.#over();
      throw error;
    }
  }

  #checkOver(): void {
    const { host: { clock }, ctx } = this.#options;
    if (ctx.aborted !== undefined || clock.monotonic() >= this.#due) throw this.#over();
  }

  #over(): CatgaError {
    const { aborted } = this.#options.ctx;
    const cause = this.#error ?? aborted;
    const last = this.#error === undefined ? "" : `; last error: ${this.#error.message}`;
    if (this.#unanswered) return this.#unknown(`the stream had not answered at its deadline${last}`, cause);
    if (aborted !== undefined && aborted.code !== "TIMEOUT") return aborted;
    const message = `${this.#what} was not applied: its deadline has passed${last}`;
    return new CatgaError("UNAVAILABLE", message, { retryable: true, cause });
  }

  #unknown(why: string, cause?: unknown): CatgaError {
    return new CatgaError("OUTCOME_UNKNOWN", `${this.#what} may have been applied: ${why}`, { cause });
  }

  /** Whether an earlier attempt of it may have been decided, or may yet be. */
  get #again(): boolean {
    return this.#options.ctx.envelope.span !== undefined;
  }

  /** The send, in all of its attempts. */
  get #send(): string {
    return this.#options.ctx.envelope.send ?? this.#options.ctx.id;
  }

  get #print(): string {
    return this.#fingerprint ??= printOf(this.#options.ctx);
  }
}

/** What a handler came to. */
type Decided = (Emitted & { readonly returned: unknown }) | { readonly returned: unknown | Failure } | {
  readonly thrown: unknown;
};

/** Until when a command is tried, by the monotonic clock: a little before its deadline, so that its sender still gets the reason. */
export function dueOf(ctx: DecidingMessage, clock: Clock): number {
  const now = clock.monotonic();
  const left = ctx.remaining(now);
  return now + left - Math.min(MARGIN, left / 10);
}

function printOf({ contract: { name }, execution: { payload } }: DecidingMessage): string {
  try {
    return fingerprint(payload);
  } catch (error) {
    throw cannotBeSent(error, "INVALID_MESSAGE", `the payload of ${name}`);
  }
}

/** The headers of the command that go on with what it emits. */
function carried(
  { carried }: EntitiesHost,
  { headers }: DecidingMessage,
): Readonly<Record<string, string>> | undefined {
  const own = carried.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]] as const);
  return own.length === 0 ? undefined : Object.fromEntries(own);
}

/** Further decisions after the first. */
const MOST_CONFLICTS = 8;
const MARGIN = 50; // ms
/** By how much clocks of servers and nodes may differ, in ms. */
const SKEW = 10_000;
const LONGEST_TRY = 5_000; // ms
const FIRST_PAUSE = 5; // ms
const LONGEST_PAUSE = 500; // ms
