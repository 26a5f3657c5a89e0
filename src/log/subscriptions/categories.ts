/** The categories of a led subscription: which it reads, from where on, and how many messages of them may be open. */
import { morePatient } from "../../contract/send_options.ts";
import { MOST_CATEGORIES } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { Category } from "./category.ts";
import type { CapableNode } from "./leader_election.ts";
import { DEFAULT_SETTINGS, type SubscriptionSpec } from "./spec.ts";

/** The categories of one leader. */
export class Categories {
  /** By name, those of which there were messages. */
  readonly all: Map<string, Category> = new Map();
  readonly #spec: SubscriptionSpec;
  /** The app's, in ms. */
  readonly #timeout: number;
  /** Start positions of the categories in the record. */
  readonly #began = new Map<string, number>();
  #nodes: readonly CapableNode[] = [];
  /** How many messages may be open. */
  window: number = MAX_OPEN_AT_NODE;

  constructor(spec: SubscriptionSpec, began: Readonly<Record<string, number>>, timeout: number) {
    this.#spec = spec;
    this.#timeout = timeout;
    this.begin(began);
  }

  /** They begin here from now on, and there are no others. */
  begin(began: Readonly<Record<string, number>>): void {
    this.#began.clear();
    for (const [name, position] of Object.entries(began)) this.#began.set(name, position);
  }

  /** Those that are read, and where each begins, for the record. */
  get began(): Record<string, number> {
    return Object.fromEntries(this.#began);
  }

  /** The longest time that a run may take, in ms. */
  get patience(): number {
    return Math.max(this.#timeout, ...[...this.all.values()].map(({ timeout }) => timeout));
  }

  /** The category of this name. If only nodes of another version handle it, what they announce holds. */
  of(name: string): Category {
    let category = this.all.get(name);
    if (category === undefined) {
      const settings = this.#spec.categories.get(name) ?? DEFAULT_SETTINGS;
      category = new Category(this.#spec, name, settings, this.#timeout);
      this.#count(category);
      this.all.set(name, category);
    }
    return category;
  }

  /** Returns true if a message is not for this subscription, or was read already. */
  passes({ category, position }: LoggedMessage): boolean {
    return position <= (this.#began.get(category) ?? 0);
  }

  /** Adds those that are new, as many as a commit may have. Returns true if there are any. `read`: up to here. */
  add(began: Readonly<Record<string, number>>, read: number): boolean {
    const room = Math.max(0, MOST_CATEGORIES - this.#began.size);
    const added = Object.entries(began).filter(([name]) => !this.#began.has(name)).slice(0, room);
    for (const [name, position] of added) this.#began.set(name, Math.max(position, read));
    return added.length > 0;
  }

  /**
   * None begins behind the end of the log: a record that says so would have its messages passed by for ever. Returns
   * the names of those that did, which begin behind what was read.
   */
  limit(end: number, read: number): readonly string[] {
    const beyond = [...this.#began].flatMap(([name, position]) => position > end ? [name] : []);
    for (const name of beyond) this.#began.set(name, Math.min(end, read));
    return beyond;
  }

  /** Positions begin again lower: no message is known any more. */
  reset(): void {
    for (const name of this.#began.keys()) this.#began.set(name, 0);
  }

  /** The live nodes, with what they handle. */
  refresh(nodes: readonly CapableNode[]): void {
    this.#nodes = nodes;
    this.window = Math.min(MAX_OPEN, MAX_OPEN_AT_NODE * Math.max(1, nodes.length));
    for (const category of this.all.values()) this.#count(category);
  }

  #count(category: Category): void {
    const { name } = category;
    const announced = this.#nodes.flatMap(({ categories }) => categories.get(name) ?? []);
    category.capable = announced.length;
    if (announced.length === 0 || this.#spec.categories.has(name)) return;
    const { attempts, delay } = announced.reduce(morePatient);
    category.attempts = attempts;
    category.delay = delay;
  }
}

/** How many messages may be open for each node, and for all. */
const MAX_OPEN_AT_NODE = 1_024;
const MAX_OPEN = 8_192;
