/** Jobs whose handlers begin when they are admitted, and end when the test says so. */
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import { catga } from "../../src/catga.ts";
import type { Handlers } from "../../src/contract/declaration/handler.ts";
import type { Result } from "../../src/contract/calls/result.ts";
import { MemoryNetwork } from "../../src/memory/network.ts";
import { VirtualClock } from "../../src/memory/virtual_clock.ts";

/** `a1` as text: the first letter is its key. */
export interface Job {
  readonly key: string;
  readonly n: number;
}

/** The job that a text like `a1` stands for. */
export function job(text: string): Job {
  return { key: text[0], n: Number(text.slice(1)) };
}

/** The value of a result, or the code of its error. */
export function codeOf({ value, error }: Result<unknown>): unknown {
  return error?.code ?? value;
}

/** A handler that notes which jobs begin, in order, and ends them when the test says so. */
export class JobHandler {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  readonly handle = ({ key, n }: Job): Promise<string> => {
    const text = `${key}${n}`;
    this.begun.push(text);
    return new Promise((resolve) => this.#ends.set(text, () => resolve(`done ${text}`)));
  };

  end(...jobs: string[]): void {
    for (const job of jobs) this.#ends.get(job)!();
  }
}

/** One node with these handlers, and one that only sends; disposing of it drains both. */
export async function serverAndClient(
  handlers: Handlers,
): Promise<{ clock: VirtualClock; server: Catga; client: Catga } & AsyncDisposable> {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const server = await clock.until(catga({ network, id: "server", handlers, logger }));
  const client = await clock.until(catga({ network, id: "client", logger }));
  const end = () => clock.until(Promise.all([client.drain({ timeout: 0 }), server.drain({ timeout: 0 })]));
  return { clock, server, client, [Symbol.asyncDispose]: async () => void await end() };
}
