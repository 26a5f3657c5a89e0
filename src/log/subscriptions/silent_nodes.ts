/**
 * Asks the nodes that have not answered a leader what they run and what they have finished, until they answer or have
 * certainly ended. A process that is blocked by a handler, or frozen, answers as soon as it goes on.
 */
import { controlName } from "../../contract/nodes/announcement.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";
import { delay, doubled } from "../../ports/clock.ts";
import { type BarrierRequest, internalCommand } from "../format/run_request.ts";
import type { LogHost } from "../log_host.ts";
import { type NodeReport, reportOf } from "./found_state.ts";
import type { CapableNode } from "./leader_election.ts";
import type { SubscriptionSpec } from "./spec.ts";

/** Options of {@link SilentNodes}. */
export interface SilentNodesOptions {
  readonly host: Pick<LogHost, "app" | "clock">;
  readonly spec: Pick<SubscriptionSpec, "service" | "name">;
  /** Token of the leader that asks. */
  readonly token: number;
  /** The live nodes that handle the subscription. */
  nodes(): readonly CapableNode[];
  fault(error: unknown): void;
}

/** The nodes from which a leader waits for a sign. */
export class SilentNodes {
  readonly #options: SilentNodesOptions;
  readonly #contract: AnyContract;
  readonly #asked = new Map<string, Promise<NodeReport | undefined>>();
  readonly #ending = new AbortController();
  /** How often the process at an endpoint has left while it was asked. */
  readonly #departures = new Map<string, number>();

  constructor(options: SilentNodesOptions) {
    this.#options = options;
    this.#contract = internalCommand(controlName(options.spec.service, options.spec.name));
  }

  /** Asks nobody any more: what is asked for resolves with `undefined`. */
  close(): void {
    this.#ending.abort();
  }

  /** Names the last departure of the process at this endpoint, which may have come back since and left again. */
  departure(endpoint: string): string {
    return `${endpoint} ${this.#departures.get(endpoint) ?? 0}`;
  }

  /**
   * Resolves with what the process at this endpoint runs, as soon as it says so; with `undefined` when it has left the
   * live nodes, or has certainly ended. Never rejects.
   */
  hear(endpoint: string): Promise<NodeReport | undefined> {
    const known = this.#asked.get(endpoint);
    if (known !== undefined) return known;
    const asked = this.#hear(endpoint).catch((error) => void this.#options.fault(error))
      .finally(() => this.#asked.delete(endpoint));
    this.#asked.set(endpoint, asked);
    return asked;
  }

  async #hear(endpoint: string): Promise<NodeReport | undefined> {
    const { host: { app }, nodes, token } = this.#options;
    const isMissing = () => !nodes().some((node) => node.endpoint === endpoint);
    if (isMissing()) return undefined;
    const left = Promise.withResolvers<undefined>();
    let hasLeft = false;
    const leave = () => {
      if (hasLeft) return;
      hasLeft = true;
      this.#departures.set(endpoint, (this.#departures.get(endpoint) ?? 0) + 1);
      left.resolve(undefined);
    };
    const unlisten = app.onNodes(() => {
      if (isMissing()) leave();
    });
    const stop = () => left.resolve(undefined);
    this.#ending.signal.addEventListener("abort", stop);
    const request: BarrierRequest = ["barrier", token];
    const options = { node: nodeOf(endpoint), timeout: ANSWER_TIMEOUT, retries: 0 };
    const ask = async (): Promise<NodeReport | undefined> => {
      for (let failures = 0; !hasLeft && !this.#ending.signal.aborted; failures++) {
        const answer = await app.sendInternal(this.#contract, request, options);
        if (answer.ok) return reportOf(answer.value, nodeOf(endpoint), this.#options.fault);
        // it bounces: whether the process has ended takes a while to be known
        app.gone(endpoint).then((isGone) => isGone && leave(), this.#options.fault);
        await this.#pause(doubled(failures, FIRST_PAUSE, LONGEST_PAUSE));
      }
    };
    try {
      return await Promise.race([left.promise, ask()]);
    } finally {
      unlisten();
      this.#ending.signal.removeEventListener("abort", stop);
    }
  }

  /** Waits for `ms`, or until nobody is asked any more. */
  async #pause(ms: number): Promise<void> {
    await delay(this.#options.host.clock, ms, this.#ending.signal).catch(() => {
      // it was aborted: the loop looks
    });
  }
}

/** First and longest pause before a node is asked again, and time that it gets to answer, in ms. */
const [FIRST_PAUSE, LONGEST_PAUSE, ANSWER_TIMEOUT] = [50, 500, 2_000];
