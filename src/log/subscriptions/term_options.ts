/** What the term of a leader is made of, how it ends, and what it shows of itself. */
import type { CatgaError } from "../../error.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { LogHost } from "../log_host.ts";
import type { CapableNode } from "./capable_nodes.ts";
import type { Commits } from "./commits.ts";
import type { LastFailure, Outage } from "./handing_out.ts";
import type { SubscriptionSpec } from "./spec.ts";
import type { SubscriptionStore } from "./store.ts";
import type { Warnings } from "./warnings.ts";

/** What a `Term` is made of. */
export interface TermOptions {
  readonly host: LogHost;
  /** The stream that is read. */
  readonly stream: LogStream;
  readonly spec: SubscriptionSpec;
  readonly warnings: Warnings;
  readonly store: SubscriptionStore;
  /** Ends what the store does. */
  readonly ending: AbortController;
  /** With the first commit, by which this node leads. */
  readonly commits: Commits;
  /** Whether the last leader ended without a word. */
  readonly unclean: boolean;
  /** Whether nothing may run any more before it begins: after a rewind. */
  readonly fresh: boolean;
  /** How many messages may be parked. */
  readonly mostParked: number;
  /** Whether nobody else can lead yet. */
  holds(): boolean;
  nodes(): readonly CapableNode[];
  /** It is over. */
  onEnd(end: TermEnd): void;
}

/**
 * How a term ends: another node leads; nobody does; nobody does, and a newer node should; this node may begin again, because it has gone
 * back in the log, or because a node refuses its token.
 */
export type TermEnd = "deposed" | "handed over" | "newer" | "rewound" | "outvoted";

/** What a term shows of itself. */
export interface TermState {
  readonly open: number;
  /** Whether it has taken over, and read all that there was when it began. */
  readonly read: boolean;
  readonly retrying: number;
  readonly dead: number;
  readonly stopped: boolean;
  /** Why it cannot take over, or read; `undefined` while it can. */
  readonly stalled: CatgaError | undefined;
  /** Positions up to this one are read. */
  readonly position: number;
  /** When the oldest message that is read and not handled was stored, in ms since 1970; `undefined` if there is none. A getter. */
  readonly oldest: number | undefined;
  readonly lastFailure: LastFailure | undefined;
  readonly outage: Outage | undefined;
}
