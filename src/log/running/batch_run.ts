/**
 * A batch of messages on the node that handles it: its members as the handler receives them, and the outcome of each.
 * (`Ledger.batch` fills a batch, `HandingOut` sends it.)
 */
import { type Batch, BEGINS } from "../../contract/declaration/handler.ts";
import { fail } from "../../contract/calls/result.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import { show } from "../../data/checks.ts";
import { decodeText } from "../../data/encoding.ts";
import { IS_SEALED, SEALED } from "../../data/tags.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { withParsedPayload } from "../../dispatch/message_schema.ts";
import { type Outcome, Refusal, VersionRefusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { headersOf, type LoggedMessage, type LoggedMeta, timesOf } from "../format/logged_message.ts";
import { copyJson } from "../format/run_request.ts";

/** A message of a batch as a handler receives it. */
export type BatchMember = Batch<unknown>[number];

interface MemberMessage
  extends Omit<BatchMember, "headers" | "stored" | "due">, Pick<LoggedMessage, "tagged" | "time"> {
  readonly meta: LoggedMeta | null | undefined;
}

/** Makes a member of a batch from a message of the log. Returns an error if the message's payload cannot be read. */
export function memberOf(
  contract: string,
  { payload: given, tagged, id, key, position, attempt, time, meta }: MemberMessage,
): BatchMember | CatgaError {
  try {
    const payload = tagged ? decodeText(given as string) : copyJson(given);
    return { payload, id, key, position, ...timesOf(time, meta), attempt, headers: headersOf(meta) };
  } catch (cause) {
    return unreadablePayload(contract, { id, payload: given }, cause);
  }
}

/** Returns the error for a message of the log whose payload cannot be read at this node. */
export function unreadablePayload(
  contract: string,
  { id, payload }: Pick<MemberMessage, "id" | "payload">,
  cause: unknown,
): CatgaError {
  const why = typeof payload === "string" && payload.startsWith(SEALED) ? `: ${IS_SEALED}` : "";
  const message = `the payload of ${contract} (${id}) cannot be read${why}`;
  return new CatgaError("INVALID_MESSAGE", message, { cause, final: true });
}

/**
 * Runs a handler with a batch of these members. Returns the handler's outcome, and each member for which the handler
 * has called `fail` with its error; calls of `fail` after the handler's end throw.
 */
export function runBatch(
  handler: DurableHandler,
  members: readonly BatchMember[],
  ctx: MessageContext,
): { readonly outcome: MaybePromise<Outcome>; readonly failures: ReadonlyMap<BatchMember, CatgaError> } {
  const failures = new Map<BatchMember, CatgaError>();
  let isOver = false;
  const list = members.map((member) => Object.freeze(member));
  Object.defineProperty(list, BEGINS, { value: () => failures.clear() });
  const batch = Object.defineProperty(list, "fail", {
    value: (member: BatchMember, ...failure: Parameters<typeof fail>) => {
      if (isOver) throw new TypeError(FAILED_TOO_LATE);
      if (!list.includes(member)) throw new TypeError(`batch.fail takes a member of the batch; got ${show(member)}`);
      if (!failures.has(member)) failures.set(member, fail(...failure).error);
    },
  });
  // the cast is safe: `batch.fail` was defined above
  const outcome = handler.run(Object.freeze(batch) as unknown as Batch<unknown>, ctx);
  if (!(outcome instanceof Promise)) isOver = true;
  return { outcome: outcome instanceof Promise ? outcome.finally(() => isOver = true) : outcome, failures };
}

const FAILED_TOO_LATE =
  "batch.fail comes too late: its handler has returned, and the message is done; await what calls it";

/** One run of a batch by its handler. */
export class BatchRun {
  readonly #members: readonly (BatchMember | CatgaError)[];
  readonly #keys: readonly (string | undefined)[];
  #failures: ReadonlyMap<BatchMember, CatgaError> = new Map();
  /** Errors of members whose payload the schema refused. */
  readonly #refused = new Set<CatgaError>();
  /**
   * Members of the batch, by index, as the handler received them. An error stands for a member that the handler did not
   * receive.
   */
  #parsed: readonly (BatchMember | CatgaError)[] = [];

  /**
   * `members`: in the order of the log; an error stands for a message whose payload cannot be read. `keys`: the
   * ordering key of each member.
   */
  constructor(members: readonly (BatchMember | CatgaError)[], keys: readonly (string | undefined)[]) {
    this.#members = members;
    this.#keys = keys;
  }

  /**
   * Returns true if the error is that of a member whose payload the schema refused, so that the handler did not
   * receive it.
   */
  isRefusal(error: CatgaError): boolean {
    return this.#refused.has(error);
  }

  /** Runs the handler with the members whose payload its contract accepts. Never throws, never rejects. */
  handle(handler: DurableHandler, ctx: MessageContext): MaybePromise<Outcome> {
    if (handler.contract.options.input === undefined) return this.#run(handler, this.#members, ctx);
    return this.#parse(handler, ctx).then((parsed) => this.#run(handler, parsed, ctx));
  }

  /**
   * Outcome of each member after the handler has returned. An error: the member failed; `"behind"`: an earlier member
   * of its key failed; `undefined`: handled.
   */
  get outcomes(): readonly (CatgaError | "behind" | undefined)[] {
    const held = new Set<string>();
    return this.#parsed.map((member, i) => {
      const key = this.#keys[i];
      if (key !== undefined && held.has(key)) return "behind";
      const error = member instanceof CatgaError ? member : this.#failures.get(member);
      if (error !== undefined && key !== undefined) held.add(key);
      return error;
    });
  }

  async #parse({ contract }: DurableHandler, ctx: MessageContext): Promise<readonly (BatchMember | CatgaError)[]> {
    return await Promise.all(this.#members.map(async (member) => {
      if (member instanceof CatgaError) return member;
      const parsed = (value: unknown): Outcome => ({ ok: true, value });
      const outcome = await withParsedPayload(contract, member.payload, ctx, parsed, member.id);
      if (outcome instanceof Refusal) return outcome.failure.error;
      if (outcome.ok) return { ...member, payload: outcome.value };
      const { code, message, details, node } = outcome.error;
      // a timeout is not final: a schema that did not end in time may do so in the next attempt
      const error = new CatgaError(code, message, { details, node, final: code !== "TIMEOUT", cause: outcome.error });
      if (outcome instanceof VersionRefusal) this.#refused.add(error);
      return error;
    }));
  }

  #run(
    handler: DurableHandler,
    parsed: readonly (BatchMember | CatgaError)[],
    ctx: MessageContext,
  ): MaybePromise<Outcome> {
    this.#parsed = parsed;
    const behind = this.outcomes;
    const members = parsed.flatMap((member, i) => {
      return member instanceof CatgaError || behind[i] === "behind" ? [] : [member];
    });
    if (members.length === 0) return { ok: true, value: undefined };
    const { outcome, failures } = runBatch(handler, members, ctx);
    this.#failures = failures;
    return outcome;
  }
}
