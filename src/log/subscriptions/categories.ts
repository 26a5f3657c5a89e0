/**
 * The categories (contracts) of a subscription in its leader: their names, start positions and settings, and how many
 * of their messages may be open (read and not handled).
 */
import {
  BY_KEY,
  limitName,
  type LimitNumbers,
  morePatient,
  type NamedLimit,
  OF_NEWER,
  plainLimitName,
  stricter,
} from "../../contract/nodes/announcement.ts";
import type { LimitOverride } from "../../contract/nodes/node_info.ts";
import { MAX_CATEGORIES } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { Category, type CategoryLimit, isLast, type Item } from "./category.ts";
import type { CapableNode } from "./leader_election.ts";
import { RunLimit } from "./limit_gate.ts";
import { DEFAULT_SETTINGS, type SubscriptionSpec } from "./spec.ts";

/** The categories (contracts) that one leader reads. */
export class Categories {
  /** Categories of which the leader has seen messages, by contract name. */
  readonly all: Map<string, Category> = new Map();
  readonly #spec: SubscriptionSpec;
  /** Default timeout of handlers, from the app's options, in ms. */
  readonly #timeout: number;
  /** Start positions of the categories, as the subscription's commits record them, by contract name. */
  readonly #began = new Map<string, number>();
  #nodes: readonly CapableNode[] = [];
  /** Limits of the subscription, by name; one without a name by its contract and place. */
  readonly #limits = new Map<string, RunLimit<Item>>();
  /** Settings of limits by operators, by the limit's name. */
  #overrides: ReadonlyMap<string, LimitOverride> = new Map();
  /** Time until which another leader may have begun messages, in ms since 1970; `undefined`: none has. */
  readonly #tookOver: number | undefined;
  /** Maximum number of open messages (read and not handled) for the present number of nodes. */
  window: number = MAX_OPEN_AT_NODE;

  /** `tookOver`: time until which another leader may have begun messages, in ms since 1970; `undefined`: none has. */
  constructor(
    spec: SubscriptionSpec,
    began: Readonly<Record<string, number>>,
    timeout: number,
    tookOver: number | undefined = undefined,
  ) {
    this.#spec = spec;
    this.#tookOver = tookOver;
    this.#timeout = timeout;
    this.begin(began);
    this.#setNumbers();
  }

  /** Replaces all categories and their start positions. */
  begin(began: Readonly<Record<string, number>>): void {
    this.#began.clear();
    for (const [name, position] of Object.entries(began)) this.#began.set(name, position);
  }

  /** Start positions of the categories that are read, by contract name, for the next commit. */
  get began(): Record<string, number> {
    return Object.fromEntries(this.#began);
  }

  /** Longest timeout that a run of a message has in these categories, in ms. */
  get patience(): number {
    return Math.max(this.#timeout, ...[...this.all.values()].map(({ timeout }) => timeout));
  }

  /**
   * Returns the category of this contract name. Versions of a handler may have different retry settings: the category
   * has the most patient ones, and a node with fewer attempts makes its own last attempt final.
   */
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

  /**
   * Returns true if a message is to be skipped: the subscription does not read its category, or begins to read it
   * behind the message's position.
   */
  passes({ category, position }: LoggedMessage): boolean {
    return position <= (this.#began.get(category) ?? 0);
  }

  /**
   * Adds further categories, as many as a commit can hold; each begins behind `read` at the earliest. Returns true if
   * any was added.
   */
  add(began: Readonly<Record<string, number>>, read: number): boolean {
    const room = Math.max(0, MAX_CATEGORIES - this.#began.size);
    const added = Object.entries(began).filter(([name]) => !this.#began.has(name)).slice(0, room);
    for (const [name, position] of added) this.#began.set(name, Math.max(position, read));
    return added.length > 0;
  }

  /**
   * Corrects start positions behind the end of the log, at which no message of their categories would ever be read:
   * those categories now begin behind `read`. Returns the names of the corrected categories.
   */
  limit(end: number, read: number): readonly string[] {
    const beyond = [...this.#began].flatMap(([name, position]) => position > end ? [name] : []);
    for (const name of beyond) this.#began.set(name, Math.min(end, read));
    return beyond;
  }

  /**
   * Lets all categories begin at the start of the log. Call after the log was made anew, so that positions begin
   * again.
   */
  reset(): void {
    for (const name of this.#began.keys()) this.#began.set(name, 0);
  }

  /**
   * Counts the live nodes that handle each category, and sets {@link Categories.window}, the limit of open messages, by
   * the number of `nodes`. Call when the live nodes, or the categories that they handle, have changed.
   */
  refresh(nodes: readonly CapableNode[]): void {
    this.#nodes = nodes;
    this.#setNumbers();
    for (const category of this.all.values()) this.#count(category);
  }

  /** Sets the numbers of all limits: the smallest that this node or another one has; and the window. */
  #setNumbers(): void {
    const numbers = new Map<string, LimitNumbers>();
    const add = (category: string, limits: readonly NamedLimit[] = []) => {
      for (const [i, limit] of limits.entries()) {
        const id = limitId(category, limit, i);
        const known = numbers.get(id);
        numbers.set(id, known === undefined ? limit : stricter(known, limit));
      }
    };
    for (const [category, { limits }] of this.#spec.categories) add(category, limits);
    for (const { categories } of this.#nodes) for (const [category, { limits }] of categories) add(category, limits);
    this.window = [...numbers.keys()].some(isByKey)
      ? MAX_OPEN_BY_KEY
      : Math.min(MAX_OPEN, MAX_OPEN_AT_NODE * Math.max(1, this.#nodes.length));
    for (const [id, each] of numbers) {
      const limit = this.#limits.get(id);
      if (limit !== undefined) {
        limit.numbers = each;
        continue;
      }
      const added = new RunLimit<Item>(id, each, this.#tookOver, isByKey(id));
      added.override = this.#overrideOf(id);
      this.#limits.set(id, added);
    }
    // only what this node's own version has: another one's functions are not known here
    for (const [category, { limits = [], fair }] of this.#spec.categories) {
      for (const [i, limit] of limits.entries()) {
        const known = this.#limits.get(limitId(category, limit, i))!; // made above
        known.isCounted ||= limit.over !== undefined;
        // one of which only the newest waits may wait for this one, too
        known.isRanked ||= fair?.ahead !== undefined || limits.some(({ over }) => isLast(over));
      }
    }
  }

  /** Has what operators have set of limits count in place of what the program says. */
  override(overrides: readonly LimitOverride[]): void {
    this.#overrides = new Map(overrides.map((each) => [each.limit, each]));
    for (const [id, limit] of this.#limits) limit.override = this.#overrideOf(id);
  }

  #overrideOf(id: string): LimitOverride | undefined {
    return this.#overrides.get(plainLimitName(id));
  }

  /** Returns the limits of a category that this node or another one has; `undefined`: there are none. */
  #limitsOf(category: string): readonly CategoryLimit[] | undefined {
    const own = this.#spec.categories.get(category);
    const all = [own, ...this.#nodes.map(({ categories }) => categories.get(category))];
    if (!all.some((each) => each?.limits !== undefined)) return undefined;
    const ids = all.flatMap((each) => (each?.limits ?? []).map((limit, i) => limitId(category, limit, i)));
    const known = new Map((own?.limits ?? []).map((limit, i) => [limitId(category, limit, i), limit]));
    return [...new Set(ids)].sort().map((id) => {
      const { key, over } = known.get(id) ?? {};
      return { limit: this.#limits.get(id)!, key, over }; // `#setNumbers` has made them
    });
  }

  #count(category: Category): void {
    const { name } = category;
    const limits = this.#limitsOf(name);
    const ids = (limits: Category["limits"]) => String(limits?.map(({ limit: { id } }) => id));
    if (ids(limits) !== ids(category.limits)) category.limits = limits;
    const announced = this.#nodes.flatMap(({ categories }) => categories.get(name) ?? []);
    category.capable = announced.length;
    const own = this.#spec.categories.get(name);
    const retries = own === undefined ? announced : [own, ...announced];
    if (retries.length === 0) return;
    const { attempts, delay } = retries.reduce(morePatient);
    category.attempts = attempts;
    category.delay = delay;
  }
}

/** Returns the name of a limit: one of all messages and one by key are two, although versions give both one name. */
function limitId(category: string, limit: NamedLimit, i: number): string {
  const name = limitName(category, limit, i);
  // what is not known of it may say of which messages it is: as one of all it lets at most as many run
  return limit.isNewer ? name + OF_NEWER : limit.isByKey ? name + BY_KEY : name;
}

function isByKey(id: string): boolean {
  return id.endsWith(BY_KEY);
}

/** Maximum number of open messages (read and not handled) per live node. */
const MAX_OPEN_AT_NODE = 1_024;
/** Maximum number of open messages (read and not handled) for all nodes together. */
const MAX_OPEN = 8_192;
/**
 * Maximum number of open messages where a limit counts by key: most of them wait, and those of other keys are behind
 * them in the log. A commit names each of them with one to three bytes.
 */
const MAX_OPEN_BY_KEY = 65_536;
