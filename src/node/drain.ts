/**
 * The order in which a node shuts down. First, the messages of other nodes are directed to other nodes; then running
 * handlers end; then the node gives back its locks and claims. The connection is closed last, because every step before
 * may need it.
 * @decides what a drain waits for, and for how long
 */
import type { UnderWay } from "../ports/under_way.ts";
import { within } from "../ports/clock.ts";
import type { Remote } from "../dispatch/remote.ts";
import type { ContextHost, SharedState } from "../dispatch/context_host.ts";
import { CatgaError } from "../error.ts";

/** A node that can be drained (shut down in an orderly way). */
export interface DrainableNode extends Pick<ContextHost, "node" | "clock" | "wheel"> {
  readonly state: Pick<SharedState, "abdicate" | "close">;
  /** Counts everything on the node that has begun and not ended: handlers, sends, publications, runs of workflows. */
  readonly underWay: UnderWay;
}

/** Steps of a drain (orderly shutdown) that other parts of the node carry out. */
export interface DrainSteps {
  /** Ends the fast path of sends, so that sends of handlers that still run are routed as the drain requires. */
  endFastPaths(): void;
  /**
   * Gives up the leadership of subscriptions of the log to other nodes: of each when this node runs none of its
   * messages, or after `patience` ms and the time that aborted handlers have to end.
   */
  leaveLog(patience: number): Promise<void>;
  /**
   * Moves streams that can be resumed to other nodes, and aborts the `draining` signals of handlers and HTTP responses.
   */
  moveStreams(): void;
  /** Waits for publications in progress, and closes the log. */
  closeLog(): Promise<void>;
  /** Returns the cluster; `undefined` for an app in memory. */
  remote(): Pick<Remote, "leave" | "refuse" | "close"> | undefined;
  /** Makes every send from now on fail with `CLOSED`. */
  stopSends(): void;
  /** Reports that the drain has waited for `ms` milliseconds, and that handlers or sends have still not ended. */
  heldUp(ms: number): void;
  /** Closes the connection, unless the program opened it. */
  release(): Promise<void>;
}

/** Drains a node. `timeout`: maximum time for running handlers and sends, in ms. Rejects with the error of a step. */
export async function drain(node: DrainableNode, timeout: number, steps: DrainSteps): Promise<void> {
  const { clock, wheel, state, underWay } = node;
  const begun = clock.monotonic();
  const until = begun + timeout;
  const closed = new CatgaError("CLOSED", `node ${node.node} is stopping`);

  // 1. Send every message through the router from now on: messages that only this node handles are handled here, all
  // others go to other nodes.
  steps.endFastPaths();

  // 2. Leave the membership, refuse requests of other nodes, give up leadership. A store that does not answer delays
  // this step by `timeout` at most: the records in it expire by themselves. Streams move as soon as new requests go to
  // other nodes, or after a second, because a store may be silent for longer.
  const leaving = Promise.resolve(steps.remote()?.leave());
  const left = steps.leaveLog(timeout);
  const moved = within(clock, Math.min(timeout, LEAVE_WITHIN), leaving).finally(() => steps.moveStreams());
  await within(clock, timeout, Promise.all([left, leaving, state.abdicate(), moved]));

  // 3. Wait until no handler and no send is in progress.
  await underWay.none(clock, until);

  // 4. Abort handlers and sends that have not ended in time. Handlers have half a second to react to their signals.
  if (underWay.count > 0) {
    if (timeout > 0) steps.heldUp(clock.monotonic() - begun);
    wheel.abort(closed);
    await underWay.none(clock, clock.monotonic() + HANDLERS_END_WITHIN);
  }

  // 5. Refuse sends, and the requests of nodes that do not know yet that this one leaves; abort handlers that began
  // after step 4.
  steps.stopSends();
  steps.remote()?.refuse();
  wheel.abort(closed);

  // 6. Let other nodes lead what this one led until its handlers had ended. Wait for publications in progress, and give
  // back locks and claims.
  await within(clock, HANDLERS_END_WITHIN, left);
  await within(clock, Math.max(HANDLERS_END_WITHIN, until - clock.monotonic()), steps.closeLog());
  await within(clock, Math.max(HANDLERS_END_WITHIN, until - clock.monotonic()), state.close());

  // 7. Send the last answers and end the subscriptions. Limited in time, because a server that cannot be reached
  // confirms nothing.
  await within(
    clock,
    Math.max(ANSWERS_LEAVE_WITHIN, until - clock.monotonic()),
    Promise.resolve(steps.remote()?.close()),
  );

  // 8. Abort the handlers of events that arrived after step 5, since nothing else ends them. Close the connection.
  wheel.abort(closed);
  await steps.release();
}

/** Maximum time that streams wait for the node to leave the membership, before they move, in ms. */
const LEAVE_WITHIN = 1_000;
/** Time that handlers have to end after their signals aborted, in ms. */
const HANDLERS_END_WITHIN = 500;
/** Maximum time to send the last answers, and for the server to confirm the end of the subscriptions, in ms. */
const ANSWERS_LEAVE_WITHIN = 1_000;
