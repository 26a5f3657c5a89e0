/**
 * Gaps: contracts that a member handled in the last 5 minutes and that no member handles now, as while the only replica
 * of a service restarts. A send of such a contract waits for a node until its deadline; a send of another contract
 * without a handler fails after 500 ms. A node that has just started cannot know the gaps: it asks other nodes
 * (`GapInquiry`).
 */
import type { Clock } from "../../ports/clock.ts";
import type { Member } from "./membership_view.ts";

/** The contracts without a handler that one node remembers, each for 5 minutes; at most the last 4,096. */
export class Gaps {
  readonly #clock: Clock;
  /**
   * Time at which each contract will be forgotten, by the monotonic clock; in the order in which the contracts were
   * added.
   */
  readonly #until: Map<string, number> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Remembers a contract whose last handling member has left, or no longer handles it. */
  open(name: string): void {
    this.learn(name, REMEMBERED);
  }

  /** Remembers a contract that another node will remember for `left` ms more. */
  learn(name: string, left: number): void {
    const until = this.#clock.monotonic() + Math.min(left, REMEMBERED);
    this.#until.delete(name);
    this.#until.set(name, until);
    if (this.#until.size > MAX_GAPS) this.#until.delete(this.#until.keys().next().value!);
  }

  /** Returns how long this contract will still be remembered, in ms; 0 if it is not remembered. */
  left(name: string): number {
    const until = this.#until.get(name);
    if (until === undefined) return 0;
    const left = until - this.#clock.monotonic();
    if (left > 0) return left;
    this.#until.delete(name);
    return 0;
  }
}

/**
 * Time for which a contract that no node handles any more is remembered, in ms: longer than a process takes to restart.
 */
export const REMEMBERED = 300_000;
/** Maximum number of remembered contracts. Limited because anybody who may write records chooses their names. */
export const MAX_GAPS = 4_096;

/** Dependencies of a {@link GapInquiry} on its node. */
export interface GapInquiryOptions {
  readonly clock: Clock;
  readonly gaps: Gaps;
  /** This node's id. */
  readonly self: string;
  readonly view: { readonly members: readonly Member[]; handles(name: string): boolean };
  /**
   * Asks the process at this endpoint if it remembers the contract. If it does, {@link GapInquiry.answered} is called
   * with its answer.
   */
  askGap(endpoint: string, name: string): void;
  /**
   * Called when another node answers that this contract was handled in the last 5 minutes: calls of the contract then
   * wait for a node.
   */
  gapFound(name: string): void;
}

/**
 * Questions of this node about contracts without a handler, and its answers to the same questions of others. A question
 * is sent only when a send needs its answer, and names the contract: so records and frames carry no lists of gaps.
 * @decides other processes are asked if they have seen a node that handles a contract
 */
export class GapInquiry {
  readonly #options: GapInquiryOptions;
  /**
   * Names of the contracts asked about, each with the time until which an answer is accepted, by the monotonic clock.
   */
  readonly #asked: Map<string, number> = new Map();

  constructor(options: GapInquiryOptions) {
    this.#options = options;
  }

  /** Returns true if this node knows that some node handled this contract in the last 5 minutes. */
  knows(name: string): boolean {
    return this.#options.gaps.left(name) > 0;
  }

  /**
   * Asks other nodes about a contract: the nodes that started first, because they remember most. At most once in 500 ms
   * for each contract.
   */
  ask(name: string): void {
    const { clock, self, view, askGap } = this.#options;
    const now = clock.monotonic();
    for (const [asked, until] of this.#asked) {
      if (until > now) break;
      this.#asked.delete(asked);
    }
    if (this.#asked.has(name) || this.#asked.size >= MAX_ASKED_CONTRACTS) return;
    this.#asked.set(name, now + ANSWER_WAIT);
    const others = view.members.filter(({ info, suspect }) => info.id !== self && !suspect);
    others.sort((a, b) => a.info.startedAt - b.info.startedAt);
    for (const { info } of others.slice(0, WITNESSES)) askGap(info.endpoint, name);
  }

  /** Records another node's answer. An answer without a pending question is ignored. */
  answered(name: string, left: number): void {
    const { clock, gaps, gapFound } = this.#options;
    if (left <= 0 || !((this.#asked.get(name) ?? 0) > clock.monotonic())) return;
    this.#asked.delete(name);
    gaps.learn(name, left);
    gapFound(name);
  }

  /**
   * Returns this node's answer to a question about a contract: how long it will remember the contract, in ms; 0: it
   * sends no answer.
   */
  answer(name: string): number {
    // if a member handles the contract now, the answer is the full time: the asking node may not know this member yet,
    // because the member has not answered its ping
    const { gaps, view } = this.#options;
    return view.handles(name) ? REMEMBERED : Math.ceil(gaps.left(name));
  }
}

/** Time for which a send waits if no known node has handled its contract, in ms. */
const ANSWER_WAIT = 500;
/** Maximum number of nodes that are asked about a contract. */
const WITNESSES = 3;
/** Maximum number of contracts with a pending question. */
export const MAX_ASKED_CONTRACTS = 1_024;
