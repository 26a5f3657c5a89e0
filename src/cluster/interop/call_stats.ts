/** Counts the calls of one contract by plain NATS clients, as `$SRV.STATS` reports them. */
import type { CatgaError } from "../../error.ts";
import { statusOf } from "../../contract/error_status.ts";
import { printable } from "../../data/printable.ts";

/** Counts the requests of plain NATS clients for one contract. */
export class CallStats {
  #requests = 0;
  #errors = 0;
  #ms = 0;
  #lastError = "";

  /**
   * Counts a request that was answered after `ms` milliseconds. `error`: the error of the answer; `undefined`: the
   * request succeeded.
   */
  count(ms: number, error: CatgaError | undefined): void {
    this.#requests++;
    this.#ms += ms;
    if (error === undefined) return;
    this.#errors++;
    // the text of the error is left out, because users other than the caller may read the statistics
    this.#lastError = printable(`${statusOf(error)}:${error.code}`);
  }

  /** The counts under the names of NATS's service protocol. Times are in ns. */
  get counts(): Readonly<Record<string, number | string>> {
    const time = Math.round(this.#ms * 1e6);
    return {
      num_requests: this.#requests,
      num_errors: this.#errors,
      last_error: this.#lastError,
      processing_time: time,
      average_processing_time: this.#requests === 0 ? 0 : Math.round(time / this.#requests),
    };
  }
}
