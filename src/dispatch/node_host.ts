/** A node's own handlers and its life, as the cluster around it sees them; `node/` implements it. */
import type { AnyContract } from "../contract/contract.ts";
import type { Result } from "../contract/result.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { CatgaError } from "../error.ts";
import type { Admission } from "./admission.ts";
import type { ContextHost } from "./context_host.ts";
import type { Runner } from "./runner.ts";

/** What `cluster/` needs of the node that it belongs to. */
export interface NodeHost extends ContextHost {
  /** Runs this node's handlers. */
  readonly runner: Runner;
  /** Handlers that run, and sends that wait for answers. */
  readonly inFlight: number;
  /** How long a message may take that is sent now, in ms. */
  timeLeft(contract: AnyContract): number;
  /** Whether requests of a contract go by a routing key. */
  keyed(contract: AnyContract): boolean;
  /** Sends for a plain NATS client: at this node's handlers the request passes `admit` first. */
  relay(contract: AnyContract, payload: unknown, options: SendOptions, admit: Admission): Promise<Result<unknown>>;
  /** The view has changed: who handles what is another list. */
  refresh(): void;
  /** Stops the node at once, because it cannot go on. */
  fail(error: CatgaError): void;
}
