/**
 * The other nodes that execute runs: tells which of them live, and sends them messages about runs that they execute.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Result } from "../../contract/calls/result.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";
import type { RefusedRun, RunJoin, RunsAsked, TriedVersions } from "../../contract/declaration/workflow_body.ts";
import { isCount, isRecord } from "../../data/checks.ts";
import type { DeliveredCall } from "./run_call.ts";
import type { RunRef } from "../stored/run_ref.ts";
import type { RunsNode } from "../runs_node.ts";

/**
 * The other nodes that execute runs.
 * @decides other nodes are asked to drive a run
 */
export class RunPeers {
  readonly #node: RunsNode;

  constructor(node: RunsNode) {
    this.#node = node;
  }

  /** Returns true if the process at an endpoint lives, as far as this node knows. */
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

  /** Implements {@link DrivenRunsHost.passOn}: passes a call to execute a run on to the node at an endpoint. */
  async passOn(endpoint: string, { ref, sequence, stored, due, tried }: DeliveredCall): Promise<boolean | RefusedRun> {
    const payload: RunJoin = {
      ...{ run: ref.run, sequence },
      ...(stored === undefined ? {} : { stored }),
      ...(due && { due }),
      ...(tried && { tried }),
    };
    const gone = new AbortController();
    // a frozen node does not answer, but leaves the membership after a while: then the wait for its answer ends
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
   * Asks the node at an endpoint to renew its leases of these runs. Resolves with a number for each run: 1 if no node
   * has to be called to execute the run, else 0; or with `undefined` if the node does not answer.
   */
  putOff(endpoint: string, workflow: string, leased: readonly string[]): Promise<readonly (0 | 1)[] | undefined> {
    return this.#ask(workflow, endpoint, { leased });
  }

  /**
   * Asks the node at an endpoint which of these runs have ended, wait or have a lease: resolves with a number for each
   * run, 1 for such a run, else 0; or with `undefined` if the node does not answer.
   */
  async areOver(
    endpoint: string,
    workflow: string,
    asked: RunsAsked["asked"],
  ): Promise<readonly (0 | 1)[] | undefined> {
    return this.alive(endpoint) ? await this.#ask(workflow, endpoint, { asked }) : undefined;
  }

  /**
   * Notifies the node that executes a run of a new entry. Resolves with `false` if the node has not answered in time.
   */
  async sendNews(endpoint: string, { workflow, run }: RunRef, sequence: number): Promise<boolean> {
    return (await this.#join(workflow, endpoint, { run, sequence, news: true }, NEWS_TIMEOUT)).ok;
  }

  async #ask(workflow: string, endpoint: string, asked: RunJoin): Promise<readonly (0 | 1)[] | undefined> {
    const { ok, value } = await this.#join(workflow, endpoint, asked, ANSWER_TIMEOUT);
    return ok && Array.isArray(value) ? value : undefined; // the answer has the type of the contract
  }

  /** Sends a message to the node at an endpoint, without retries. */
  #join(
    workflow: string,
    endpoint: string,
    payload: RunJoin,
    timeout: number,
    signal?: AbortSignal,
  ): Promise<Result<unknown>> {
    const { join } = this.#node.contractsOf(workflow);
    const options = { node: nodeOf(endpoint), timeout, retries: 0, signal };
    return this.#node.app.sendInternal(join as AnyContract, payload, options);
  }
}

/**
 * Returns true if a value from another process is a valid {@link TriedVersions}: the versions and nodes that were tried
 * for a run.
 */
export function isTried(value: unknown): value is TriedVersions {
  if (!isRecord(value) || !Array.isArray(value.refusedBy) || !Array.isArray(value.gaveUp)) return false;
  if (!value.refusedBy.every((shape) => typeof shape === "string")) return false;
  return value.gaveUp.every((each) => Array.isArray(each) && typeof each[0] === "string" && isCount(each[1]));
}

function isRefusedRun(value: unknown): value is RefusedRun {
  return isTried(value) && typeof (value as Partial<RefusedRun>).why === "string";
}

/** Maximum time for a node, to which a call was passed on, to execute the run to its end or until it waits, in ms. */
const PASS_ON_TIMEOUT = 30_000;
/** Maximum time for an answer of the node that executes runs to a question about them, in ms. */
const ANSWER_TIMEOUT = 5_000;
/** Maximum time for an answer of the node that executes a run to the notice about a new entry, in ms. */
const NEWS_TIMEOUT = 5_000;
