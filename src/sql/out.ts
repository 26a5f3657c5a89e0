/**
 * Messages of a transaction, which are published when it commits: the events, commands, starts of runs and signals that
 * it has collected. Each is checked and encoded when it is collected, as the log will store it; nothing is sent.
 */
import type { DurableContract, DurableContractOptions, PublishableEvent } from "../contract/declaration/contract.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Context } from "../contract/calls/context.ts";
import { checkContract, describe } from "../contract/declaration/definition.ts";
import type { AnySignal, AnyWorkflow, Signal, WorkflowContract } from "../contract/calls/flow.ts";
import type { Result } from "../contract/calls/result.ts";
import { type MaybePromise, type Schema, validate } from "../contract/schemas/schema.ts";
import { checkId, INHERITED_HEADERS } from "../contract/calls/send_options.ts";
import { type ContractShapes, isShapedWorkflow, UNKNOWN_SHAPE } from "../contract/schemas/shape.ts";
import type { WorkflowDefinition } from "../contract/declaration/workflow_body.ts";
import type { EndedTransaction } from "../contract/nodes/attached_store.ts";
import { checkKnown, checkStrings } from "../data/checks.ts";
import { encodeValue } from "../data/encoding.ts";
import { storedLimit, unlessFits } from "../data/message_room.ts";
import { withCarried } from "../dispatch/carried_headers.ts";
import { keyOf } from "../dispatch/routing_key.ts";
import { CatgaError } from "../error.ts";
import { itemText } from "../log/format/group.ts";
import { keepOf } from "../log/format/logged_message.ts";
import { type Random, token } from "../ports/clock.ts";
import { laneOf, type RecordedKind } from "./relay_plan.ts";

/** Options of what is recorded. */
export interface RecordOptions {
  /**
   * The id of the message: as of `publish`, the log stores it once for each contract within 2 minutes at least. Of a
   * start: the id of the run; of a signal: its id. Default: a generated id, stored once whatever happens.
   */
  id?: string | undefined;
  /** Headers of the message, as of `publish`; not of a signal. Default: in a handler, those that its sends inherit. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of a start that is recorded. */
export interface RecordStartOptions extends RecordOptions {
  /** Texts by which operators find the run, as of `start`. Default: none. */
  tags?: readonly string[] | undefined;
}

/** The payload and the options behind a contract; the payload may be left out if its type is `void`. */
export type RecordArgs<In, Options = RecordOptions> = [void] extends [In] ? [payload?: NoInfer<In>, options?: Options]
  : [payload: NoInfer<In>, options?: Options];

/** A row of the outbox before it is written. */
export interface CollectedRow {
  readonly kind: RecordedKind;
  readonly contract: string;
  readonly key: string | null;
  readonly id: string;
  readonly body: string;
  readonly head: string;
  /** Name of the rows among which its order is kept; `null`: it has none. */
  readonly lane: string | null;
}

/** Internal: reads and empties what an {@link Out} has collected. */
export const TAKE: unique symbol = Symbol("catga.take");

/** Internal: true if an {@link Out} has been emptied, and has collected nothing since. */
export const SPENT: unique symbol = Symbol("catga.spent");

/** Internal: what an {@link Out} has collected since it was last written, and what was written then. */
export const COLLECTED: unique symbol = Symbol("catga.collected");

/** Internal: effects whose functions have run in the transaction of an {@link Out}. */
export const EFFECTS: unique symbol = Symbol("catga.effects");

/** The message whose handler records, and the headers that its sends inherit. */
export interface OutParent {
  readonly ctx: Pick<Context, "id" | "correlationId" | "headers">;
  readonly carried: readonly string[];
}

/**
 * Collects what is published when the transaction commits. Its methods return the ids. A payload that the contract's
 * schema refuses throws a `CatgaError` (`INVALID_MESSAGE`) that rolls the transaction back; an asynchronous schema is
 * awaited before the transaction commits.
 */
export class Out {
  readonly #shapes: ContractShapes;
  readonly #parent: OutParent | undefined;
  #rows: CollectedRow[] = [];
  #checks: Promise<Result<unknown>>[] = [];
  #taken: readonly CollectedRow[] = [];
  /** Internal. */
  readonly [EFFECTS]: { readonly scope: string; readonly id: string }[] = [];
  readonly #random: Random;

  /** Internal: `store.transaction`, `store.handler` and `store.out` make it. `random`: the source of ids. */
  constructor(shapes: ContractShapes, random: Random, parent?: OutParent) {
    this.#shapes = shapes;
    this.#random = random;
    this.#parent = parent;
  }

  /** Publishes a durable event, when the transaction has committed. */
  publish<In>(
    event: PublishableEvent<In> & { readonly options: DurableContractOptions },
    ...args: RecordArgs<In>
  ): string {
    checkContract("out.publish", event as AnyContract, "event");
    return this.#message("publish", event as AnyContract, args);
  }

  /** Stores a durable command, when the transaction has committed. */
  enqueue<In>(command: DurableContract<"command", In>, ...args: RecordArgs<In>): string {
    checkContract("out.enqueue", command as AnyContract, "command");
    return this.#message("enqueue", command as AnyContract, args);
  }

  /** Starts a run of a workflow, when the transaction has committed; returns the id of the run. */
  start<In>(workflow: WorkflowContract<In, unknown>, ...args: RecordArgs<In, RecordStartOptions>): string {
    const definition = definitionOf(workflow);
    const [input, options = {}] = args as [unknown, RecordStartOptions?];
    const at = `out.start ${definition.name}`;
    checkKnown(at, options, START_OPTIONS);
    this.#check(definition.input, input, `workflow ${definition.name}`);
    const run = checkedId(at, options.id ?? definition.id?.(input as never) ?? this.#newId());
    const { name, version, keep, timeout, redact } = definition;
    const shape = isShapedWorkflow(definition) ? this.#shapes.ofWorkflow(definition) ?? UNKNOWN_SHAPE : undefined;
    const head = { version, keep, timeout, redact, shape, headers: this.#headers(at, options), tags: options.tags };
    return this.#add("start", name, run, run, input === undefined ? "" : encoded(input, "input", name), head);
  }

  /**
   * Sends a signal to a run, when the transaction has committed: behind a start of the run that was recorded before.
   */
  tell<T>(signal: Signal<T, unknown>, run: string, ...args: RecordArgs<T, Pick<RecordOptions, "id">>): string {
    const { workflow, name, "~input": schema } = signalOf(signal);
    const [payload, options = {}] = args as [unknown, RecordOptions?];
    const at = `out.tell ${name}`;
    checkKnown(at, options, TELL_OPTIONS);
    this.#check(schema, payload, `signal ${name}`);
    const id = checkedId(at, options.id ?? this.#newId());
    const body = payload === undefined ? "" : encoded(payload, "payload", name);
    return this.#add("tell", workflow, checkedId(at, run), id, body, { signal: name });
  }

  /** Number of messages that were collected. */
  get size(): number {
    return this.#rows.length;
  }

  /** Internal: returns the collected rows ({@link CollectedRow}), and empties them; a promise if a schema is one. */
  [TAKE](): MaybePromise<readonly object[]> {
    const [rows, checks] = [this.#rows, this.#checks];
    this.#rows = [];
    this.#checks = [];
    if (rows.length > 0) this.#taken = rows;
    if (checks.length === 0) return rows;
    return Promise.all(checks).then((results) => {
      for (const result of results) if (!result.ok) throw result.error;
      return rows;
    });
  }

  /** Internal: true if it has been emptied, and has collected nothing since. */
  get [SPENT](): boolean {
    return this.#taken.length > 0 && this.#rows.length === 0;
  }

  /** Internal. */
  get [COLLECTED](): EndedTransaction["recorded"] {
    return [...this.#taken, ...this.#rows];
  }

  #message(method: "publish" | "enqueue", contract: AnyContract, args: readonly unknown[]): string {
    const { name, options: { durable, input, entity } } = contract;
    const [payload, options = {}] = args as [unknown, RecordOptions?];
    const at = `out.${method} ${name}`;
    if (!durable) throw new TypeError(`${at}: the ${contract.kind} is not durable: give it durable: true`);
    if (entity !== undefined) {
      throw new TypeError(`${at}: only commands of ${entity} emit this event: enqueue one of them`);
    }
    checkKnown(at, options, MESSAGE_OPTIONS);
    this.#check(input, payload, name);
    const key = keyOf(contract, payload);
    if (typeof key === "object") throw key.error;
    const id = options.id === undefined ? this.#newId() : checkedId(at, options.id);
    const headers = this.#headers(at, options);
    const { ctx } = this.#parent ?? {};
    const meta = headers === undefined && ctx === undefined ? undefined : {
      ...(ctx === undefined ? {} : { c: ctx.correlationId, a: ctx.id }),
      ...(headers === undefined ? {} : { h: headers }),
    };
    const text = payload === undefined ? undefined : encoded(payload, "payload", name);
    const item = itemText({ text, key, id, meta });
    const keep = keepOf(contract);
    const head = {
      keep: keep === Infinity ? 0 : keep,
      shape: this.#shapes.of(contract),
      given: options.id !== undefined,
    };
    return this.#add(contract.kind === "event" ? "event" : "command", name, key ?? null, id, item, head);
  }

  #newId(): string {
    return token(this.#random, ID_LENGTH);
  }

  #headers(at: string, { headers }: RecordOptions): Readonly<Record<string, string>> | undefined {
    if (headers !== undefined) checkStrings(`${at}: headers`, headers);
    const { carried = INHERITED_HEADERS, ctx } = this.#parent ?? {};
    return withCarried(carried, ctx?.headers ?? {}, headers);
  }

  #check(schema: Schema<never, unknown> | undefined, value: unknown, name: string): void {
    if (schema === undefined) return;
    const checked = validate(schema, value, "INVALID_MESSAGE", name);
    if (checked instanceof Promise) this.#checks.push(checked);
    else if (!checked.ok) throw checked.error;
  }

  #add(kind: RecordedKind, contract: string, key: string | null, id: string, body: string, head: object): string {
    for (const [what, text] of [["key", key ?? ""], ["id", id]]) {
      if (text.isWellFormed() && !text.includes("\0")) continue;
      throw new CatgaError(
        "INVALID_MESSAGE",
        `the ${what} of ${contract} cannot be recorded: it is no well-formed text`,
      );
    }
    const error = unlessFits(`${contract} was not recorded: it`, body, MAX_BODY, "record");
    if (error !== undefined) throw error;
    this.#rows.push({
      kind,
      contract,
      key,
      id,
      body,
      head: JSON.stringify(head),
      lane: laneOf({ kind, contract, key }),
    });
    return id;
  }
}

function encoded(value: unknown, root: string, name: string): string {
  try {
    return encodeValue(value, root);
  } catch (cause) {
    throw new CatgaError("INVALID_MESSAGE", `${name} cannot be recorded: ${(cause as Error).message}`, { cause });
  }
}

function checkedId(at: string, id: string): string {
  checkId(at, id);
  return id;
}

function definitionOf(workflow: AnyWorkflow): WorkflowDefinition {
  const definition = (workflow as { readonly "~workflow"?: WorkflowDefinition })?.["~workflow"];
  if (definition !== undefined) return definition;
  throw new TypeError(`out.start takes what workflow(…) gives; got ${describe(workflow as never)}`);
}

function signalOf(signal: AnySignal): AnySignal {
  if (typeof signal?.workflow === "string" && typeof signal.name === "string") return signal;
  throw new TypeError(`out.tell takes what the signal(…) of a workflow gives; got ${describe(signal as never)}`);
}

const MESSAGE_OPTIONS = new Set(["id", "headers"]);
const START_OPTIONS = new Set(["id", "headers", "tags"]);
const TELL_OPTIONS = new Set(["id"]);
/** Length of a generated id: 131 random bits. */
const ID_LENGTH = 22;
/** Maximum size of what is recorded, in bytes: what the log takes by default. */
const MAX_BODY = storedLimit(1_048_576);
