/** The other nodes that drive runs: tells which are alive, and sends them messages about runs that they hold. */
import type { AnyContract } from "../contract/contract.ts";
import type { Result } from "../contract/result.ts";
import type { RefusedRun, RunJoin, RunsAsked, TriedVersions } from "../contract/workflow_body.ts";
import { isCount, isRecord } from "../data/checks.ts";
import type { DeliveredCall } from "./driven_runs.ts";
import type { RunRef } from "./run_ref.ts";
import type { RunsNode } from "./runs_node.ts";

/** The other nodes that drive runs. */
export class RunPeers {
  readonly #node: RunsNode;

  constructor(node: RunsNode) {
    this.#node = node;
  }

  /** Returns true if the process at an endpoint is alive, as far as this node knows. */
  alive(endpoint: string): boolean {
    const { app, endpoint: own } = this.#node;
    return endpoint === own || app.nodes().some((node) => node.endpoint === endpoint);
  }

  /** Calls `listener` when another node has left the membership. Returns a function that removes the listener. */
  onGone(listener: () => void): () => void {
    const { app } = this.#node;
    const endpoints = () => new Set(app.nodes().map(({ endpoint }) => endpoint));
    let before = endpoints();
    return app.onNodes(() => {
      const now = endpoints();
      const isGone = before.size > before.intersection(now).size;
      before = now;
      if (isGone) listener();
    });
  }

  /** Like {@link DrivesHost.passOn}. */
  async passOn(endpoint: string, { ref, sequence, stored, due, tried }: DeliveredCall): Promise<boolean | RefusedRun> {
    const payload: RunJoin = {
      ...{ run: ref.run, sequence },
      ...(stored === undefined ? {} : { stored }),
      ...(due && { due }),
      ...(tried && { tried }),
    };
    const gone = new AbortController();
    // a frozen node does not answer, and leaves the membership after a while
    const off = this.#node.app.onNodes(() => {
      if (!this.alive(endpoint)) gone.abort();
    });
    try {
      const { ok, value } = await this.#join(ref.workflow, endpoint, payload, PASS_ON_TIMEOUT, gone.signal);
      return isRefusedRun(value) ? value : ok;
    } finally {
      off();
    }
  }

  /**
   * Has the node at an endpoint put off the leases of runs: 0 or 1 for each, like {@link Drives.putOff}; `undefined`:
   * no answer.
   */
  putOff(endpoint: string, workflow: string, leased: readonly string[]): Promise<readonly (0 | 1)[] | undefined> {
    return this.#ask(workflow, endpoint, { leased });
  }

  /**
   * Asks the node at an endpoint which of its runs are over: 1 for each that is, else 0; `undefined`: it does not
   * answer.
   */
  async areOver(
    endpoint: string,
    workflow: string,
    asked: RunsAsked["asked"],
  ): Promise<readonly (0 | 1)[] | undefined> {
    return this.alive(endpoint) ? await this.#ask(workflow, endpoint, { asked }) : undefined;
  }

  /** Sends news of a run to the node that drives it. Resolves with `false` if the node has not answered in time. */
  async sendNews(endpoint: string, { workflow, run }: RunRef, sequence: number): Promise<boolean> {
    return (await this.#join(workflow, endpoint, { run, sequence, news: true }, NEWS_TIMEOUT)).ok;
  }

  async #ask(workflow: string, endpoint: string, asked: RunJoin): Promise<readonly (0 | 1)[] | undefined> {
    const { ok, value } = await this.#join(workflow, endpoint, asked, ANSWER_TIMEOUT);
    return ok && Array.isArray(value) ? value : undefined; // its contract has this type
  }

  /** Sends a message to the node at an endpoint, without retries. */
  #join(
    workflow: string,
    endpoint: string,
    payload: RunJoin,
    timeout: number,
    signal?: AbortSignal,
  ): Promise<Result<unknown>> {
    const node = endpoint.slice(0, endpoint.indexOf("."));
    const { join } = this.#node.contractsOf(workflow);
    return this.#node.app.sendInternal(join as AnyContract, payload, { node, timeout, retries: 0, signal });
  }
}

/** Returns true if a value that another process sent is a {@link TriedVersions}. */
export function isTried(value: unknown): value is TriedVersions {
  if (!isRecord(value) || !Array.isArray(value.refusedBy) || !Array.isArray(value.gaveUp)) return false;
  if (!value.refusedBy.every((shape) => typeof shape === "string")) return false;
  return value.gaveUp.every((each) => Array.isArray(each) && typeof each[0] === "string" && isCount(each[1]));
}

function isRefusedRun(value: unknown): value is RefusedRun {
  return isTried(value) && typeof (value as Partial<RefusedRun>).why === "string";
}

/** Timeout of a node for bringing a run to its end, or to where it waits, in ms. */
const PASS_ON_TIMEOUT = 30_000;
/** Timeout of the node that holds runs for an answer about them, in ms. */
const ANSWER_TIMEOUT = 5_000;
/** Timeout of the driver of a run for its answer to news, in ms. */
const NEWS_TIMEOUT = 5_000;
