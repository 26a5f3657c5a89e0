/**
 * Barrier of a new leader: every node that handles its subscription refuses runs of earlier leaders from now on, and
 * lists what runs.
 */
import type { AnyContract } from "../../contract/contract.ts";
import { delay } from "../../ports/clock.ts";
import { controlName } from "../format/names.ts";
import { type BarrierRequest, readBarrierAnswer } from "../format/run_request.ts";
import type { LogHost } from "../log_host.ts";
import type { CapableNode } from "./leader_election.ts";

/** Options of a barrier. */
export interface BarrierOptions {
  readonly host: Pick<LogHost, "clock" | "send" | "gone">;
  readonly service: string;
  readonly name: string;
  readonly token: number;
  /** The live nodes that handle the subscription. */
  nodes(): readonly CapableNode[];
  readonly signal: AbortSignal;
}

/** Answers of the nodes. */
export interface Runs {
  /** Identities of messages that run, and on which node. */
  readonly running: ReadonlyMap<string, string>;
  /** Identities of messages whose run has ended lately. */
  readonly ended: ReadonlySet<string>;
}

/**
 * Resolves with what runs somewhere, and on which node, when every node has answered. One that does not is passed over
 * when it is gone, and after 3 s: it may be frozen, and what it runs is then run again beside it. Rejects when the
 * signal aborts.
 */
export async function barrier(options: BarrierOptions): Promise<Runs> {
  const running = new Map<string, string>();
  const ended = new Set<string>();
  const contract: AnyContract = Object.freeze({
    kind: "command",
    name: controlName(options.service, options.name),
    options: Object.freeze({}),
  });
  const patience = new AbortController();
  const over = delay(options.host.clock, PATIENCE, AbortSignal.any([options.signal, patience.signal])).catch(() => {
    options.signal.throwIfAborted();
  });
  const asked = options.nodes().map((node) => ask(options, contract, node, { running, ended }));
  await Promise.race([Promise.all(asked), over]);
  patience.abort();
  options.signal.throwIfAborted();
  return { running, ended };
}

async function ask(
  { host, token, nodes, signal }: BarrierOptions,
  contract: AnyContract,
  { id, endpoint }: CapableNode,
  { running, ended }: { readonly running: Map<string, string>; readonly ended: Set<string> },
): Promise<void> {
  const { clock } = host;
  const begun = clock.monotonic();
  const request: BarrierRequest = ["barrier", token];
  for (let pause = FIRST; clock.monotonic() - begun < PATIENCE; pause = Math.min(LONGEST, pause * 2)) {
    const answer = await host.send(contract, request, { node: id, timeout: ANSWER, retries: 0 });
    signal.throwIfAborted();
    if (answer.ok) {
      const said = readBarrierAnswer(answer.value);
      for (const each of said?.running.slice(0, MOST) ?? []) running.set(each, id);
      for (const each of said?.ended.slice(0, MOST) ?? []) ended.add(each);
      return;
    }
    if (!nodes().some((node) => node.endpoint === endpoint) || await host.gone(endpoint)) return;
    await delay(clock, pause, signal);
  }
}

const FIRST = 50; // ms
const LONGEST = 1_000; // ms
const ANSWER = 2_000; // ms
const PATIENCE = 3_000; // ms
/** Messages that are believed of one node. */
const MOST = 10_000;
