/** What a new leader does before it hands out anything: what is parked is listed, runs of earlier leaders end, what is open is read. */
import { delay } from "../../ports/clock.ts";
import type { Parking } from "../parking/parking.ts";
import { barrier } from "./barrier.ts";
import type { Categories } from "./categories.ts";
import { persist } from "./persist.ts";
import { type Recovered, recovered } from "./recovery.ts";
import type { TermOptions } from "./term_options.ts";

/** What {@link takeOver} needs of the term. */
export interface TakeoverParts {
  readonly token: number;
  readonly parking: Parking;
  readonly categories: Categories;
  readonly signal: AbortSignal;
  fault(error: unknown): void;
}

/** What there is to be handed out first, and what runs already: positions, each with its node. Rejects when the signal aborts. */
export async function takeOver(
  { host, stream, record, spec, nodes, fresh, handedOver }: TermOptions,
  { token, parking, categories, signal, fault }: TakeoverParts,
): Promise<Recovered & { readonly running: ReadonlyMap<number, string> }> {
  const { clock } = host;
  const { service, name } = spec;
  await persist(clock, signal, () => parking.open(), fault);
  let running = await barrier({ host, service, name, token, nodes, signal });
  // after a rewind the same messages are handed out again: what runs still is not the run that is meant
  for (let waits = 0; fresh && running.size > 0 && waits < WAITS; waits++) {
    await delay(clock, WAIT, signal);
    running = await barrier({ host, service, name, token, nodes, signal });
  }
  const progress = record.streams[stream.name];
  const found = await recovered({
    ...{ host, stream, progress, running, complete: handedOver, parking, categories, signal, fault },
  });
  return { ...found, running };
}

const WAIT = 1_000; // ms
const WAITS = 60;
