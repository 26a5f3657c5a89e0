/**
 * Shared state in a soak: idempotent commands, locks and leaders, and user code that never settles.
 *
 * @module
 */
import { command, query, type Schema } from "@catga/catga";

/** What a handler of an idempotent command is asked to do; all sends of an id ask for the same. */
export interface OnceWork {
  readonly id: string;
  /** How long it takes. */
  readonly ms: number;
}

/** Answers with the name of its run: `<endpoint> <fence>`. */
export const Once = command<OnceWork, string>("Once", { idempotent: true });

const LONGEST = 3_000; // ms that a handler takes

/** What is asked for under an id: for the same one always the same. Most take little time. */
export function workOf(id: string): OnceWork {
  let hash = 7;
  for (const character of id) hash = Math.imul(hash ^ character.charCodeAt(0), 0x9e3779b1) >>> 0;
  return { id, ms: Math.round((hash / 2 ** 32) ** 3 * LONGEST) };
}

/** How long a claim outlives its holder at most, in ms. */
export const CLAIM_LEASE = 20_000;
/** Of locks and leaders, in ms. */
export const LOCK_TTL = 3_000;
/** The keys of the locks. */
export const LOCKS: readonly string[] = ["a", "b", "c", "d"];
/** What is led. */
export const LEADERS: readonly string[] = ["left", "right"];

const never = () => new Promise<never>(() => {});

/** A schema whose answer never comes. */
const mute: Schema<unknown, never> = { "~standard": { version: 1, vendor: "soak", validate: never } };

/** Commands and queries whose user code never settles, each at another place. */
export const NEVER = {
  handler: command<void, number>("NeverHandler"),
  query: query<void, number>("NeverQuery"),
  behavior: command<void, number>("NeverBehavior"),
  load: query<{ n: number }, number>("NeverLoad"),
  input: command("NeverInput", { input: mute }),
  output: query("NeverOutput", { output: mute }),
} as const;

/** Where user code never settles. */
export type NeverPlace = keyof typeof NEVER;

/** What a run of an idempotent command wrote down, or its sender; `at` in ms since 1970. */
export type OnceNote =
  | { readonly event: "begun" | "ended"; readonly at: number; readonly id: string; readonly run: string }
  | {
    readonly event: "told";
    readonly at: number;
    readonly id: string;
    /** `ok`, or a code. */
    readonly told: string;
    /** The run whose result it is. */
    readonly run?: string | undefined;
    /** In ms. */
    readonly took: number;
    readonly timeout: number;
  };

/** What came of a send whose user code never settles. */
export interface NeverNote {
  readonly place: NeverPlace;
  readonly told: string;
  readonly at: number;
  readonly took: number;
  readonly timeout: number;
}

export { never };
