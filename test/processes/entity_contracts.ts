/** The entity of tests with faults: its contracts, and what a test records. */
import { command, entity, fail, type Failure, type Loaded } from "@catga/catga";

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
  };

/** The entity: how many entries it has. */
export const Ledger = entity("Ledger", { initial: () => ({ count: 0 }) });
/** Of an entry. */
export const Added = Ledger.event<{ entry: string; n: number }>("Added", ({ count }) => ({ count: count + 1 }));
/** Adds an entry, and returns its number. One that asks to be refused is, while the entity has an even number of entries. */
export const Add = command<{ id: string; entry: string; refused: boolean }, number, "REFUSED">("Add", {
  key: ({ id }) => id,
});
/** Decides it. */
export function sum(
  ledger: Loaded<{ count: number }>,
  { entry, refused }: { entry: string; refused: boolean },
): number | Failure<"REFUSED"> {
  if (refused && ledger.version % 2 === 0) return fail("REFUSED", "as it asked", { details: ledger.version });
  ledger.emit(Added, { entry, n: ledger.version + 1 });
  return ledger.version + 1;
}
