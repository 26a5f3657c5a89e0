/**
 * A fence: a schedule that is due at once. When the fence has fired, all schedules that the server was about to fire
 * when the fence was stored have fired, too.
 */
import { CatgaError, unavailable } from "../../error.ts";
import { type Clock, delay, doubled } from "../../ports/clock.ts";
import type { LogStream } from "../../ports/event_log.ts";

/** A fence that has fired. `sequence`: sequence of its message; `due`: when it was due, by the server's clock. */
export interface Fence {
  readonly sequence: number;
  readonly due: number;
}

/**
 * Stores a fence under a subject and resolves when the fence has fired. When that has happened, all schedules that the
 * server was about to fire at the call have fired, too: the server fires due schedules in rounds, one round after the
 * other. Rejects with `UNAVAILABLE`, at `until` (monotonic clock) at the latest.
 * @decides a marker in the stream that shows which schedules have fired
 */
export async function passFence(
  stream: LogStream,
  subject: string,
  { clock, until, signal }: { readonly clock: Clock; readonly until: number; readonly signal?: AbortSignal },
): Promise<Fence> {
  const due = stream.serverTime;
  const timeout = Math.max(1, Math.min(ATTEMPT_TIMEOUT, until - clock.monotonic()));
  const schedule = { at: due, target: `${subject}.passed`, ttl: 1_000 };
  const written = await stream.append(subject, "", { timeout, schedule });
  if (written.type !== "stored") {
    throw asTransient(written.type === "conflict" ? new CatgaError("UNAVAILABLE", "a conflict") : written.error);
  }
  for (let looks = 0;; looks++) {
    await delay(clock, doubled(looks, 20, 100), signal);
    if (await stream.last(subject, { latest: true }) === undefined) return { sequence: written.sequence, due };
    if (clock.monotonic() < until) continue;
    throw unavailable("the server does not fire what is due");
  }
}

/** Turns an error into one with the code `UNAVAILABLE`, after which the caller tries again. */
export function asTransient(error: CatgaError): CatgaError {
  if (error.code === "UNAVAILABLE") return error;
  return unavailable(error.message, { cause: error });
}

/** Time that an attempt to store a message waits for its acknowledgement, in ms. */
export const ATTEMPT_TIMEOUT = 2_000;
