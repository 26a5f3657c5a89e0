/**
 * Asks other nodes whether a contract that no node handles was handled lately: a node that has just started does not
 * remember it. Questions are sent on demand, and by name, so that records and frames carry no lists of names.
 */
import type { Member } from "./member.ts";
import type { Clock } from "../../ports/clock.ts";
import { type Gaps, REMEMBERED } from "./gaps.ts";

/** Dependencies of an inquiry on its node. */
export interface GapInquiryOptions {
  readonly clock: Clock;
  readonly gaps: Gaps;
  /** This node's id. */
  readonly self: string;
  readonly view: { readonly members: readonly Member[]; handles(name: string): boolean };
  /** Asks a process; {@link GapInquiry.answered} is called with its answer, if it remembers the contract. */
  askGap(endpoint: string, name: string): void;
  /** Called when another node answers that this contract was handled lately. */
  gapFound(name: string): void;
}

/** The questions that one node asks, and its answers to others. */
export class GapInquiry {
  readonly #options: GapInquiryOptions;
  /** Contracts asked about, with the time until which an answer counts, by the monotonic clock. */
  readonly #asked: Map<string, number> = new Map();

  constructor(options: GapInquiryOptions) {
    this.#options = options;
  }

  /** Returns true if a node is known to have handled this contract lately. */
  knows(name: string): boolean {
    return this.#options.gaps.left(name) > 0;
  }

  /** Asks the nodes that started first, which remember most; at most once in 500 ms for each contract. */
  ask(name: string): void {
    const { clock, self, view, askGap } = this.#options;
    const now = clock.monotonic();
    for (const [asked, until] of this.#asked) {
      if (until > now) break;
      this.#asked.delete(asked);
    }
    if (this.#asked.has(name) || this.#asked.size >= MOST_ASKED) return;
    this.#asked.set(name, now + ANSWER_WAIT);
    const others = view.members.filter(({ info, suspect }) => info.id !== self && !suspect);
    others.sort((a, b) => a.info.startedAt - b.info.startedAt);
    for (const { info } of others.slice(0, WITNESSES)) askGap(info.endpoint, name);
  }

  /** Takes another node's answer. An answer to no question is ignored. */
  answered(name: string, left: number): void {
    const { clock, gaps, gapFound } = this.#options;
    if (left <= 0 || !((this.#asked.get(name) ?? 0) > clock.monotonic())) return;
    this.#asked.delete(name);
    gaps.learn(name, left);
    gapFound(name);
  }

  /** Returns this node's answer: how long it remembers the contract, in ms; 0: it sends no answer. */
  answer(name: string): number {
    // a live handler may not have answered the pings of the asking node yet
    const { gaps, view } = this.#options;
    return view.handles(name) ? REMEMBERED : Math.ceil(gaps.left(name));
  }
}

/** Time that a send waits for a contract that no known node has handled, in ms. */
const ANSWER_WAIT = 500;
/** Maximum number of nodes that are asked about a contract. */
const WITNESSES = 3;
/** Maximum number of contracts that are asked about at once. */
export const MOST_ASKED = 1_024;
