/** The entity of tests with faults: its contracts, and what a test records. */
import { z } from "zod";
import { command, entity, fail, type Failure } from "@catga/catga";

/** A line in the file of a test. Times are in ms since 1970. */
export type EntityLine =
  | { readonly event: "sent"; readonly entry: string; readonly at: number; readonly refused: boolean }
  | {
    readonly event: "answered";
    readonly entry: string;
    /** `ok`, or the code of the failure. */
    readonly how: string;
    /** Of a success: the version that it made; of a refusal: the version that it was given at. */
    readonly version?: number;
    readonly at: number;
    /** When the send began that was answered. */
    readonly began?: number;
    /** The deadline of that send: another attempt of it may run until then. */
    readonly due?: number;
  };

/** How the names of entries end whose commands have ids that Catga made. */
export const MADE = ".made";

/** The state of a ledger. */
export interface LedgerState {
  readonly count: number;
  /** A number that its entries, in their order, make: two ledgers with different ones differ. */
  readonly check: number;
}

/** The entity: how many entries it has, and which. */
export const Ledger = entity<LedgerState>("Ledger", { initial: () => ({ count: 0, check: 0 }) });
/** Of an entry. It has a schema, so that its shape is stored with it. */
export const Added = Ledger.event("Added", withEntry, { input: z.object({ entry: z.string(), n: z.number() }) });
/** The state with one more entry. */
export function withEntry({ count, check }: LedgerState, { entry }: { readonly entry: string }): LedgerState {
  let next = check;
  for (let i = 0; i < entry.length; i++) next = (next * 31 + entry.charCodeAt(i)) | 0;
  return { count: count + 1, check: next };
}
/**
 * Adds an entry, and returns its number. One that asks to be refused is, while the entity has an even number of
 * entries.
 */
export const Add = command<{ id: string; entry: string; refused: boolean }, number, "REFUSED">("Add", {
  key: ({ id }) => id,
});
/** Decides it. */
export function sum(
  ledger: { readonly version: number; emit(event: typeof Added, payload: { entry: string; n: number }): void },
  { entry, refused }: { entry: string; refused: boolean },
): number | Failure<"REFUSED"> {
  if (refused && ledger.version % 2 === 0) return fail("REFUSED", "as it asked", { details: ledger.version });
  ledger.emit(Added, { entry, n: ledger.version + 1 });
  return ledger.version + 1;
}
