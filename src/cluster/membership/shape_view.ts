/**
 * A node's knowledge of the versions of contracts on the other nodes of the cluster. The shape of a contract is a hash
 * of its schemas and options, which identifies its version. Each node announces one hash of all its shapes in its
 * record, computed after the node has joined. A node that sees another hash than its own asks one of the nodes with
 * that hash, once, for the shapes. So nodes whose contracts have the same versions ask each other nothing. A node whose
 * contracts have no schemas announces nothing.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import {
  type ContractDescription,
  type ContractShapes,
  describeContract,
  isShaped,
  type NodeShapes,
  readDescription,
  readNodeShapes,
  shapesHash,
} from "../../contract/schemas/shape.ts";
import { nodeLabel, type ObservedMismatch } from "../../contract/nodes/alarms.ts";
import { isRecord } from "../../data/checks.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { SchemaMismatches } from "./schema_mismatches.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

/** Dependencies of a {@link ShapeView} on its node. */
export interface ShapeViewOptions {
  readonly clock: Clock;
  /** The id of this node. */
  readonly self: string;
  readonly shapes: ContractShapes;
  readonly observer: Observer;
  /** Loads `schema_mismatches.ts`. */
  readonly loadMismatches: () => Promise<{ readonly SchemaMismatches: typeof SchemaMismatches }>;
  /** The contracts that this node has handlers for. */
  readonly handled: readonly AnyContract[];
  /** Names of the events that this node handles as not durable, those included that it handles as durable, too. */
  readonly plainEvents: ReadonlySet<string>;
  /** Returns the contracts of which this node has sent messages, or will when it is asked to. */
  sent(): Iterable<AnyContract>;
  /** Returns the durable events that this node follows. */
  followed(): Iterable<AnyContract>;
  /** Returns the nodes of the cluster, this node included. */
  members(): readonly { readonly info: NodeInfo; readonly suspect: boolean }[];
  /**
   * Sends question number `n` to a process, whose answer is given to {@link ShapeView.answered}. If `names` is empty,
   * the question is for the shapes of all its contracts; else for the declarations, with their schemas, of the
   * contracts with these names.
   */
  ask(endpoint: string, n: number, names: readonly string[]): void;
  /**
   * Called when this node has computed the hash of all its shapes (versions of contracts), so that its record can
   * announce the hash.
   */
  announce(): void;
  /** Called when this node has learned the shapes (versions of contracts) of other nodes. */
  changed(): void;
}

/** The shapes of contracts on the nodes of the cluster, as one node knows them. */
export class ShapeView {
  readonly #options: ShapeViewOptions;
  readonly #handled: ReadonlyMap<string, AnyContract>;
  #hash: string | undefined;
  /** Shapes of the contracts of other nodes, by the hash that those nodes announce. */
  readonly #known = new Map<string, NodeShapes>();
  /**
   * Descriptions (kind, options, schemas) of contracts of which this node has sent messages: by the hash of all shapes
   * that other nodes announce, then by contract name.
   */
  readonly #looks = new Map<string, Map<string, ContractDescription>>();
  /** Compares schemas; `undefined` until it is loaded, which only nodes beside other versions of contracts need. */
  #comparison: SchemaMismatches | undefined;
  /** Questions to other nodes that have no answer yet, by number. */
  readonly #questions = new Map<number, ShapeQuestion>();
  #count = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: ShapeViewOptions) {
    this.#options = options;
    this.#handled = new Map(
      options.handled.filter((each) => options.shapes.has(each)).map((contract) => [contract.name, contract]),
    );
  }

  /** One hash of the shapes (versions) of all contracts of this node; `undefined` until it is computed. */
  get hash(): string | undefined {
    return this.#hash;
  }

  /**
   * Computes the shapes of this node's contracts, a few in each turn of the event loop, and announces one hash of them
   * all. Called when this node has joined, and again when it follows an event for the first time.
   */
  begin(): void {
    const left = [...this.#handled.values(), ...this.#read()];
    const { clock, shapes, announce } = this.#options;
    const next = () => {
      if (this.#closed) return;
      for (const contract of left.splice(0, MAX_SHAPES_A_TURN)) shapes.of(contract);
      if (left.length > 0) return clock.soon(next);
      const own = this.#own();
      if (this.#handled.size > 0 || own.reads !== undefined) {
        const hash = shapesHash(own);
        if (hash !== this.#hash) {
          this.#hash = hash;
          announce();
        }
      }
      this.look();
    };
    clock.soon(next);
  }

  /**
   * Asks other nodes for the shapes of their contracts, if they announce a hash that is new to this node. Called when
   * the members have changed.
   */
  look(): void {
    const { members, clock, self } = this.#options;
    if (this.#closed) return;
    const hashes = new Map<string, string>();
    for (const { info: { id, endpoint, shapes }, suspect } of members()) {
      if (shapes === undefined || shapes === this.#hash || id === self) continue;
      if (!hashes.has(shapes) || !suspect) hashes.set(shapes, endpoint);
    }
    for (const hash of this.#known.keys()) if (!hashes.has(hash)) this.#known.delete(hash);
    if (this.#known.size > 0) this.#askLooks();
    for (const [hash, endpoint] of hashes) if (!this.#known.has(hash)) this.#ask("shapes", hash, endpoint, []);
    if (this.#openQuestions("shapes").length === 0 || this.#timer !== undefined) return;
    // asks again after a while, because the question or its answer may be lost
    this.#timer = clock.after(ANSWER_WAIT, () => {
      this.#timer = undefined;
      this.look();
    }, { background: true });
  }

  /**
   * Contracts whose schemas on this node and on the nodes that handle its messages do not fit together, as far as is
   * known.
   */
  get mismatches(): readonly ObservedMismatch[] {
    if (this.#known.size === 0) return [];
    this.#askLooks();
    if (this.#comparison === undefined) {
      if (this.#looks.size > 0) this.#loadComparison(); // an earlier load has failed, or goes on
      return [];
    }
    const handling = [...this.#looks].map(([hash, looks]) => ({
      ...{ hash, looks },
      nodes: this.#options.members().flatMap(({ info }) => info.shapes === hash ? [nodeLabel(info)] : []),
    }));
    return this.#comparison.find(this.#written(), handling.filter(({ nodes }) => nodes.length > 0));
  }

  /**
   * Asks other nodes for the descriptions (kind, options, schemas) of contracts of which this node has sent messages,
   * and whose shapes on the other nodes differ from this node's.
   */
  #askLooks(): void {
    const { shapes, members } = this.#options;
    for (const hash of this.#looks.keys()) if (!this.#known.has(hash)) this.#looks.delete(hash);
    for (const [hash, { handles, reads = {} }] of this.#known) {
      const known = this.#looks.get(hash);
      const names = this.#written().filter((contract) => {
        const { name } = contract;
        if (!isShaped(contract) || known?.has(name)) return false;
        const theirs = Object.hasOwn(handles, name)
          ? handles[name]
          : Object.hasOwn(reads, name)
          ? reads[name]
          : undefined;
        return theirs !== undefined && (theirs === null || theirs !== shapes.of(contract));
      }).map(({ name }) => name);
      const node = members().find(({ info }) => info.shapes === hash);
      if (names.length > 0 && node !== undefined) {
        this.#loadComparison();
        this.#ask("looks", hash, node.info.endpoint, names.slice(0, MAX_LOOKS));
      }
    }
  }

  #loadComparison(): void {
    const { loadMismatches, observer } = this.#options;
    if (this.#comparison !== undefined) return;
    loadMismatches().then(
      ({ SchemaMismatches }) => this.#comparison ??= new SchemaMismatches(),
      // the next call of `mismatches` loads it again
      (error) => observer({ type: "fault", during: "loading the comparison of schemas", error }),
    );
  }

  /**
   * Asks a process that announces a hash for the shapes of its contracts, or for descriptions of contracts, unless the
   * same question is pending, or too many questions are.
   */
  #ask(about: ShapeQuestion["about"], hash: string, endpoint: string, names: readonly string[]): void {
    const open = this.#openQuestions(about);
    if (open.length >= MAX_ASKED || open.some((question) => question.hash === hash)) return;
    const n = ++this.#count;
    this.#questions.set(n, { about, hash, at: this.#options.clock.monotonic() });
    this.#options.ask(endpoint, n, names);
  }

  /**
   * Returns the pending questions `about` shapes, or about descriptions; drops those whose answer has not come in time.
   */
  #openQuestions(about: ShapeQuestion["about"]): readonly ShapeQuestion[] {
    const now = this.#options.clock.monotonic();
    for (const [n, { at }] of this.#questions) if (now - at >= ANSWER_WAIT) this.#questions.delete(n);
    return [...this.#questions.values()].filter((question) => question.about === about);
  }

  /** Returns the shape of a contract on a node; `undefined`: unknown. */
  of({ id, shapes: hash }: NodeInfo, name: string): string | undefined {
    const { self, shapes } = this.#options;
    if (id === self || (hash !== undefined && hash === this.#hash)) {
      const own = this.#handled.get(name);
      return own && shapes.of(own);
    }
    if (hash === undefined) return undefined;
    return this.#known.get(hash)?.handles[name] ?? undefined;
  }

  /**
   * Returns this node's answer to another node, as JSON of at most `limit` bytes: the shapes of its contracts, or, with
   * `names`, the descriptions of these contracts.
   */
  answer(names: readonly string[], limit: number): string {
    if (names.length === 0) {
      const text = JSON.stringify(this.#own());
      return text.length * 3 <= limit ? text : '{"handles":{},"sends":{}}';
    }
    // also those without a shape: tools ask whether an event is durable
    const all = [...this.#options.sent(), ...this.#read(), ...this.#options.handled];
    const known = new Map(all.map((contract) => [contract.name, contract]));
    const { plainEvents } = this.#options;
    const looks: Record<string, ContractDescription> = {};
    let room = limit;
    for (const name of names) {
      const contract = known.get(name);
      if (contract === undefined) continue;
      const isDurableEvent = contract.kind === "event" && contract.options.durable === true;
      const forms = isDurableEvent ? { inBothForms: plainEvents.has(name) } : {};
      const look = { ...describeContract(contract), ...forms };
      room -= JSON.stringify(look).length * 3 + name.length + 4;
      if (room < 0) break;
      looks[name] = look;
    }
    return JSON.stringify(looks);
  }

  /** Records a process's answer to question `n`. An answer without a pending question is ignored. */
  answered(n: number, answer: unknown): void {
    const question = this.#questions.get(n);
    if (question === undefined) return;
    const { hash } = question;
    if (question.about === "looks") {
      this.#questions.delete(n);
      const looks = this.#looks.get(hash) ?? new Map<string, ContractDescription>();
      for (const [name, value] of isRecord(answer) ? Object.entries(answer) : []) {
        const description = readDescription(value);
        if (description !== undefined && looks.size < MAX_SENT) looks.set(name, description);
      }
      this.#looks.set(hash, looks);
      return;
    }
    const shapes = readNodeShapes(answer);
    if (shapes === undefined) return;
    this.#questions.delete(n);
    this.#known.set(hash, shapes);
    this.#askLooks();
    this.#options.changed();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #own(): NodeShapes {
    const { shapes } = this.#options;
    const of = (contracts: Iterable<AnyContract>) =>
      Object.fromEntries([...contracts].map((contract) => [contract.name, shapes.of(contract) ?? null]));
    const read = this.#read().filter(({ name }) => !this.#handled.has(name));
    return {
      handles: of(this.#handled.values()),
      sends: of(
        [...this.#options.sent()].filter((contract) => isShaped(contract) && !this.#handled.has(contract.name)),
      ),
      ...(read.length === 0 ? {} : { reads: of(read) }),
    };
  }

  /** Returns the contracts of the messages that this node sends, and of the events that its entities emit. */
  #written(): readonly AnyContract[] {
    return [...this.#options.sent(), ...this.#options.shapes.ofEntities];
  }

  /** Returns the events with a shape that this node reads from the store, with or without a handler. */
  #read(): readonly AnyContract[] {
    const { shapes, followed } = this.#options;
    return [...followed(), ...shapes.ofEntities].filter(isShaped);
  }
}

/**
 * A pending question to a process that announces `hash`: for the shapes of its contracts, or for descriptions of
 * contracts.
 */
interface ShapeQuestion {
  readonly about: "shapes" | "looks";
  readonly hash: string;
  readonly at: number;
}

/** Number of contracts whose shapes are computed in one turn of the event loop, which takes some 5 ms. */
const MAX_SHAPES_A_TURN = 8;
/** Time for which a question waits for its answer before another node is asked, in ms. */
const ANSWER_WAIT = 1_000;
/** Maximum number of pending questions for shapes, and of pending questions for descriptions. */
const MAX_ASKED = 64;
/** Maximum number of contracts named in one question. */
const MAX_LOOKS = 64;
/** Maximum number of contract descriptions kept for one hash. */
const MAX_SENT = 1_024;
