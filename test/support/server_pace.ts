/** How soon a server answers: a server that takes long is one on a machine with much else to do. */
import type { NatsConnection } from "@nats-io/transport-node";
import { setTimeout as wait } from "node:timers/promises";
import { LEAST_GAP } from "../processes/loop_gaps.ts";
import { trueNow } from "../processes/skewed_clock.ts";
import { connectTo } from "./store_check.ts";

/**
 * Measures how soon an undisturbed server answers: a slow answer is a gap of the machine, which the limits of probes
 * exclude.
 */
export class ServerPace implements AsyncDisposable {
  /** When it took long to answer, in ms since 1970. */
  readonly gaps: { readonly from: number; readonly to: number }[] = [];
  readonly #connection: NatsConnection;
  readonly #measuring: Promise<void>;
  #over = false;

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#measuring = this.#measure();
  }

  /** Starts to measure the first of these servers that is there. */
  static async measure(urls: readonly string[]): Promise<ServerPace> {
    return new ServerPace(await connectTo(urls));
  }

  async #measure(): Promise<void> {
    while (!this.#over) {
      const from = trueNow();
      await this.#connection.flush();
      const to = trueNow();
      if (to - from >= LEAST_GAP) this.gaps.push({ from, to });
      await wait(EVERY);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#measuring;
    await this.#connection.close();
  }
}

const EVERY = 20; // ms
