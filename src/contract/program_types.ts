/**
 * Types that a program gives to Catga: who sends a message, and what contracts say of themselves. A program names them
 * once, by adding members to {@link ProgramTypes}.
 */

/**
 * Types of the program, for its handlers: `caller` is the type of `ctx.caller`, `meta` that of the option `meta` of
 * contracts. Without a member `caller` is `unknown`, and `meta` an object.
 *
 * @example
 * ```ts ignore
 * declare module "@catga/catga" {
 *   interface ProgramTypes {
 *     caller: { id: string; role: "buyer" | "admin" };
 *     meta: { role?: "admin" };
 *   }
 * }
 * ```
 */
// deno-lint-ignore no-empty-interface -- programs add members to it
export interface ProgramTypes {}

/** The type of `ctx.caller`. */
export type Caller = ProgramTypes extends { caller: infer Given } ? Given : unknown;

/** The type of the option `meta` of contracts. */
export type ContractMeta = ProgramTypes extends { meta: infer Given } ? Given : Readonly<Record<string, unknown>>;

/**
 * The header that carries the caller, as text of a payload. It goes on with what a handler sends. Whoever may send
 * requests to nodes over NATS may name any caller.
 */
export const CALLER_HEADER = "catga-caller";
