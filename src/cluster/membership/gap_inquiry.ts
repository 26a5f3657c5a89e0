/**
 * Asks other nodes whether a contract that nobody handles was handled lately: a node that has just started has not
 * seen it. It asks on demand, and by name, so that records and frames carry no lists of names.
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
  /** Asks the process; {@link GapInquiry.answered} is called with its answer, if it has one. */
  askGap(endpoint: string, name: string): void;
  /** Another node says that this contract was handled lately. */
  gapFound(name: string): void;
}

/** The questions and answers of one node. */
export class GapInquiry {
  readonly #options: GapInquiryOptions;
  /** The contracts asked about, and until when an answer counts, by the monotonic clock. */
  readonly #asked: Map<string, number> = new Map();

  constructor(options: GapInquiryOptions) {
    this.#options = options;
  }

  /** Returns true if a node is known to have handled this contract lately. */
  knows(name: string): boolean {
    return this.#options.gaps.left(name) > 0;
  }

  /** Asks the nodes that started first, which have seen most; once in 500 ms for each contract. */
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

  /** Another node has answered. An answer to no question is ignored. */
  answered(name: string, left: number): void {
    const { clock, gaps, gapFound } = this.#options;
    if (left <= 0 || !((this.#asked.get(name) ?? 0) > clock.monotonic())) return;
    this.#asked.delete(name);
    gaps.learn(name, left);
    gapFound(name);
  }

  /** Answer of this node: how long it remembers the contract, in ms; 0 for no answer. */
  answer(name: string): number {
    // a live handler may not have answered the pings of the node that asks yet
    const { gaps, view } = this.#options;
    return view.handles(name) ? REMEMBERED : Math.ceil(gaps.left(name));
  }
}

/** How long a send waits for a contract that nobody is known to have handled, in ms. */
const ANSWER_WAIT = 500;
/** Nodes asked about a contract. */
const WITNESSES = 3;
/** Contracts asked about at once. */
export const MOST_ASKED = 1_024;
