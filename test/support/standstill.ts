/** Notes for how long this process, or a server, stood still because the machine was busy with other work. */
import { LoopGaps } from "../processes/loop_gaps.ts";
import { ServerPace } from "./server_pace.ts";

/** Watches the event loop of this process, and how soon each of some servers answers. */
export class Standstill implements AsyncDisposable {
  readonly #servers: readonly ServerPace[];
  readonly #loop: LoopGaps;
  #ofLoop = 0;

  private constructor(servers: readonly ServerPace[]) {
    this.#servers = servers;
    this.#loop = new LoopGaps(({ from, to }) => this.#ofLoop += to - from);
  }

  /** Starts to watch. */
  static async watch(urls: readonly string[]): Promise<Standstill> {
    return new Standstill(await Promise.all(urls.map((url) => ServerPace.measure([url]))));
  }

  /** The sum of all standstills until now, in ms. */
  get ms(): number {
    this.#loop.beat();
    const ofServers = this.#servers.flatMap(({ gaps }) => gaps.map(({ from, to }) => to - from));
    return ofServers.reduce((sum, gap) => sum + gap, this.#ofLoop);
  }

  /** A stopwatch: how many ms it is since `began`, by `performance.now()`, without the standstills from now on. */
  stopwatch(began = performance.now()): () => number {
    const before = this.ms;
    return () => performance.now() - began - (this.ms - before);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#loop[Symbol.dispose]();
    await Promise.all(this.#servers.map((server) => server[Symbol.asyncDispose]()));
  }
}
