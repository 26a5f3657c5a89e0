/**
 * The shapes of contracts on the nodes of the cluster, as this node knows them. Each node announces one hash of all its
 * shapes in its record, made after it has joined; a node that sees a hash which is not its own asks one of the nodes
 * that have it, once. Between nodes of one version nothing is asked. A node none of whose contracts has a schema
 * announces nothing.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import {
  type ContractDescription,
  type ContractShapes,
  describeContract,
  isShaped,
  type NodeShapes,
  readDescription,
  readNodeShapes,
  shapesHash,
} from "../../contract/shape.ts";
import { nodeLabel, type ObservedMismatch } from "../../contract/alarms.ts";
import { isRecord } from "../../data/checks.ts";
import { SchemaMismatches } from "./schema_mismatches.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

/** Dependencies of a {@link ShapeView} on its node. */
export interface ShapeViewOptions {
  readonly clock: Clock;
  /** The id of this node. */
  readonly self: string;
  readonly shapes: ContractShapes;
  /** The contracts that this node has handlers for. */
  readonly handled: readonly AnyContract[];
  /** The contracts of which this node has sent messages. */
  sent(): Iterable<AnyContract>;
  /** The nodes that are there, this one included. */
  members(): readonly { readonly info: NodeInfo; readonly suspect: boolean }[];
  /** Asks a process for its shapes, or for what contracts look like: {@link ShapeView.answered} gets its answer. */
  ask(endpoint: string, n: number, names: readonly string[]): void;
  /** This node has a hash to announce. */
  announce(): void;
  /** Shapes of other nodes have become known. */
  changed(): void;
}

/** The shapes that one node knows. */
export class ShapeView {
  readonly #options: ShapeViewOptions;
  readonly #handled: ReadonlyMap<string, AnyContract>;
  #hash: string | undefined;
  /** By hash. */
  readonly #known = new Map<string, NodeShapes>();
  /** What contracts look like behind hashes, of which this node has sent messages; empty while that is asked. */
  readonly #looks = new Map<string, Map<string, ContractDescription>>();
  readonly #mismatches = new SchemaMismatches();
  /** Questions that have no answer yet, by number. */
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

  /** The hash of this node's shapes, once it is made. */
  get hash(): string | undefined {
    return this.#hash;
  }

  /** This node has joined: makes its shapes, some in each turn of the event loop, and announces them. */
  begin(): void {
    const left = [...this.#handled.values()];
    const { clock, shapes, announce } = this.#options;
    const next = () => {
      if (this.#closed) return;
      for (const contract of left.splice(0, MAX_SHAPES_A_TURN)) shapes.of(contract);
      if (left.length > 0) return clock.soon(next);
      if (this.#handled.size > 0) {
        this.#hash = shapesHash(this.#own().handles);
        announce();
      }
      this.look();
    };
    clock.soon(next);
  }

  /** The members have changed: asks for the shapes behind hashes that are new. */
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
    // a question, or its answer, may be lost
    this.#timer = clock.after(ANSWER_WAIT, () => {
      this.#timer = undefined;
      this.look();
    }, { background: true });
  }

  /** What does not fit between what this node sends and what nodes of other shapes handle, as far as is known. */
  get mismatches(): readonly ObservedMismatch[] {
    if (this.#known.size === 0) return [];
    this.#askLooks();
    const handling = [...this.#looks].map(([hash, looks]) => ({
      ...{ hash, looks },
      nodes: this.#options.members().flatMap(({ info }) => info.shapes === hash ? [nodeLabel(info)] : []),
    }));
    return this.#mismatches.find(this.#options.sent(), handling.filter(({ nodes }) => nodes.length > 0));
  }

  /** Asks what those contracts look like of which this node has sent messages, and that differ elsewhere. */
  #askLooks(): void {
    const { shapes, members, sent } = this.#options;
    for (const hash of this.#looks.keys()) if (!this.#known.has(hash)) this.#looks.delete(hash);
    for (const [hash, { handles }] of this.#known) {
      const known = this.#looks.get(hash);
      const names = [...sent()].filter((contract) => {
        const { name } = contract;
        return isShaped(contract) && !known?.has(name) && Object.hasOwn(handles, name) &&
          (handles[name] === null || handles[name] !== shapes.of(contract));
      }).map(({ name }) => name);
      const node = members().find(({ info }) => info.shapes === hash);
      if (names.length > 0 && node !== undefined) {
        this.#ask("looks", hash, node.info.endpoint, names.slice(0, MAX_LOOKS));
      }
    }
  }

  /** Asks a process about a hash, unless that is asked already, or too much is. */
  #ask(about: ShapeQuestion["about"], hash: string, endpoint: string, names: readonly string[]): void {
    const open = this.#openQuestions(about);
    if (open.length >= MAX_ASKED || open.some((question) => question.hash === hash)) return;
    const n = ++this.#count;
    this.#questions.set(n, { about, hash, at: this.#options.clock.monotonic() });
    this.#options.ask(endpoint, n, names);
  }

  /** The questions whose answers are still waited for. */
  #openQuestions(about: ShapeQuestion["about"]): readonly ShapeQuestion[] {
    const now = this.#options.clock.monotonic();
    for (const [n, { at }] of this.#questions) if (now - at >= ANSWER_WAIT) this.#questions.delete(n);
    return [...this.#questions.values()].filter((question) => question.about === about);
  }

  /** The shape of a contract on a node; `undefined`: unknown. */
  of({ id, shapes: hash }: NodeInfo, name: string): string | undefined {
    const { self, shapes } = this.#options;
    if (id === self || (hash !== undefined && hash === this.#hash)) {
      const own = this.#handled.get(name);
      return own && shapes.of(own);
    }
    if (hash === undefined) return undefined;
    return this.#known.get(hash)?.handles[name] ?? undefined;
  }

  /** The answer of this node, as JSON: its shapes; with names, what these contracts look like. */
  answer(names: readonly string[], limit: number): string {
    if (names.length === 0) {
      const text = JSON.stringify(this.#own());
      return text.length * 3 <= limit ? text : '{"handles":{},"sends":{}}';
    }
    const sent = new Map([...this.#options.sent()].map((contract) => [contract.name, contract]));
    const looks: Record<string, ContractDescription> = {};
    let room = limit;
    for (const name of names) {
      const contract = this.#handled.get(name) ?? sent.get(name);
      if (contract === undefined) continue;
      const look = describeContract(contract);
      room -= JSON.stringify(look).length * 3 + name.length + 4;
      if (room < 0) break;
      looks[name] = look;
    }
    return JSON.stringify(looks);
  }

  /** A process has answered. An answer to no question is ignored. */
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
    return {
      handles: { ...of(this.#handled.values()), ...shapes.ofEvents },
      sends: of(
        [...this.#options.sent()].filter((contract) => isShaped(contract) && !this.#handled.has(contract.name)),
      ),
    };
  }
}

/** The last question to a process, about its shapes or its contracts, by the hash of its shapes. */
interface ShapeQuestion {
  readonly about: "shapes" | "looks";
  readonly hash: string;
  readonly at: number;
}

/** Contracts whose shapes are made in one turn: some 5 ms. */
const MAX_SHAPES_A_TURN = 8;
/** How long an answer is waited for until another node is asked, in ms. */
const ANSWER_WAIT = 1_000;
const MAX_ASKED = 64;
/** Contracts asked about at once, and kept of nodes with one hash. */
const MAX_LOOKS = 64;
const MAX_SENT = 1_024;
