/**
 * Checks `limit.running`: how many messages run at once, over all nodes, by the limits of handlers and by what a
 * program says of its own.
 */
import type { Contract, Kind } from "../../contract/declaration/contract.ts";
import type { HandlerAttempt, History } from "../history.ts";
import type { Breach } from "./breach.ts";
import { subscriptionOf } from "./deliveries.ts";

/** The members of a {@link History} that {@link checkLimit} reads. */
export type LimitHistory = Pick<History, "operations" | "attempts" | "processes" | "faults">;

/** The runs that {@link checkLimit} counts, and how many there may be at once. `P`: the payload of the contracts. */
export interface CheckedLimit<P = unknown> {
  /** The contracts whose runs count, in all subscriptions and services, sent live or stored. */
  readonly of: readonly Contract<Kind, P, unknown>[];
  /** Maximum number of messages that run at once, 1 or more. */
  readonly running: number;
  /** Returns the key of a payload: each key is counted for itself. Default: all are counted together. */
  readonly key?: ((payload: P) => string) | undefined;
}

/**
 * Returns a breach for each key of which more messages ran at once than a program allows itself, whoever handled them:
 * a `limit` counts the stored messages of one subscription; a live `send`, and a second subscription, do not count
 * there. A run lasts from the begin of its handler to its end, or until its process ends. One message that runs twice
 * in a subscription is one. What was frozen, blocked or cut off at some time since its message was sent is not counted.
 *
 * @example
 * ```ts
 * import { command } from "@catga/catga";
 * import { checkLimit, explore } from "@catga/catga/testing";
 *
 * const Charge = command<{ cents: number }>("Charge", { durable: true });
 * await explore({
 *   seeds: 5,
 *   handlers: Charge.handle((_, ctx) => ctx.clock.sleep(100), { limit: { running: 2 } }),
 *   workload: async ({ app }) => {
 *     for (let cents = 1; cents < 9; cents++) await app.enqueue(Charge, { cents }); // a send would be a third one
 *   },
 *   check: ({ history }) => checkLimit(history, { of: [Charge], running: 2 }),
 * });
 * ```
 */
export function checkLimit<P>(history: LimitHistory, { of, running, key }: CheckedLimit<P>): Breach[] {
  if (!Number.isInteger(running) || running < 1) {
    throw new RangeError(`checkLimit: running is 1 or more; got ${running}`);
  }
  const names = new Set(of.map(({ name }) => name));
  const subject = of.map(({ name }) => name).join(", ");
  const runs = history.attempts.filter(({ contract }) => names.has(contract)).flatMap((attempt) =>
    (attempt.batch ?? [{ ...attempt, payload: attempt.input }]).map(
      ({ payload, position, operation }): CountedRun => {
        // cast: the history has the payloads of these contracts
        const own = key?.(payload as P);
        const message = position === undefined ? `live ${attempt.began}` : messageOf(attempt, position);
        return { subject: ofKey(subject, own), message, running, operation, attempt, isComparable: true };
      },
    )
  );
  return tooMany(history, runs);
}

/**
 * Returns a breach for each limit of a handler, and key of it, of which more messages ran at once than `running`
 * allows.
 * @decides what holds of `limit.running` in a history
 */
export function checkSlots(history: LimitHistory): Breach[] {
  return tooMany(
    history,
    history.attempts.flatMap((attempt) =>
      (attempt.slots ?? []).map(({ limit, key, running, position }): CountedRun => {
        const operation = attempt.batch === undefined
          ? attempt.operation
          : attempt.batch.find((member) => member.position === position)?.operation;
        return {
          subject: ofKey(`limit ${limit} of ${subscriptionOf(attempt)}`, key),
          message: messageOf(attempt, position),
          ...{ running, operation, attempt },
          // which version's function returns the keys is up to the leader
          isComparable: key === undefined || !areMixed(history, attempt),
        };
      })
    ),
  );
}

/** A run that counts for a limit. */
interface CountedRun {
  /** The limit, with the key if it has one. */
  readonly subject: string;
  /** Distinguishes the message from others of the limit: a message that runs twice counts once. */
  readonly message: string;
  readonly running: number;
  readonly operation: number | undefined;
  readonly attempt: HandlerAttempt;
  /** False if another version of the program may have counted the run under another key. */
  readonly isComparable: boolean;
}

function tooMany(history: LimitHistory, runs: readonly CountedRun[]): Breach[] {
  const isAway = awayIn(history);
  const endOf = endsIn(history);
  return [...Map.groupBy(runs, ({ subject }) => subject)].flatMap(([subject, own]): Breach[] => {
    let open: CountedRun[] = [];
    for (const run of own.toSorted((a, b) => a.attempt.began - b.attempt.began)) {
      const { began, start } = run.attempt;
      open = open.filter(({ attempt }) => endOf(attempt) > began);
      open.push(run);
      const counted = open.filter((other) => other.isComparable && !isAway(other, began));
      const messages = new Map(counted.map((other) => [other.message, other.attempt]));
      // while two versions run side by side the smaller number counts for what begins, not for what runs already
      const most = Math.max(...counted.map(({ running }) => running));
      if (!counted.includes(run) || messages.size <= most) continue;
      const attempts = [...new Set(messages.values())];
      const nodes = [...new Set(attempts.map(({ node }) => node))].sort().join(", ");
      return [{
        promise: "limit: at most running messages at once, over all nodes",
        subject,
        text: `had ${messages.size} messages that ran at once, on ${nodes}, where running is ${most}`,
        at: start,
        shownBy: attempts,
      }];
    }
    return [];
  });
}

/** Returns the function that tells at which place of the history a run has ended, at the latest with its process. */
function endsIn({ processes }: LimitHistory): (attempt: HandlerAttempt) => number {
  const ends = new Map(processes.map(({ node, process, ended }) => [`${node} ${process}`, ended ?? Infinity]));
  return ({ node, process, ended = Infinity }) => Math.min(ended, ends.get(`${node} ${process}`) ?? Infinity);
}

/**
 * Returns the function that tells whether the node of a run stood or was cut off at some time since the run's message
 * was sent: the leader, or the next one, may then not know that it runs there. What ran when the log lost its end is
 * not known to it either.
 */
function awayIn({ faults, operations }: LimitHistory): (run: CountedRun, until: number) => boolean {
  const spans = faults.filter(({ fault }) => UNKNOWN.has(fault));
  const sent = new Map(operations.map(({ number, began }) => [number, began]));
  return ({ attempt, operation }, until) => {
    const since = (operation === undefined ? undefined : sent.get(operation)) ??
      (attempt.position === undefined && attempt.batch === undefined ? attempt.began : 0);
    return spans.some(({ fault, node, began, ended = Infinity }) =>
      began <= until && ended >= since && (fault === "lostTail" || node === attempt.node)
    );
  };
}

/** Faults after which a leader may not know what runs. */
const UNKNOWN: ReadonlySet<string> = new Set(["freeze", "block", "cut", "lostTail"]);

/** Returns true if two versions of the run's service had running processes when the run began. */
function areMixed({ processes }: LimitHistory, { node, began }: HandlerAttempt): boolean {
  const deploys = processes.filter((process) =>
    serviceOf(process.node) === serviceOf(node) && process.began <= began && (process.ended ?? Infinity) >= began
  ).map(({ deploy }) => deploy);
  return new Set(deploys).size > 1;
}

function serviceOf(node: string): string {
  return node.replace(/-\d+$/, "");
}

function messageOf(attempt: HandlerAttempt, position: number): string {
  return `${subscriptionOf(attempt)} ${position}`;
}

function ofKey(subject: string, key: string | undefined): string {
  return key === undefined ? subject : `${subject}, key ${key}`;
}
