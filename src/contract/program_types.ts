/**
 * Types that a program gives to Catga: who sends a message, and what contracts say of themselves. A program names them
 * once, by adding members to {@link ProgramTypes}.
 */

/**
 * Types of the program: `caller` is the type of `ctx.caller`, `meta` that of the option `meta` of contracts, and
 * `behaviors` that of the array of behaviors around its apps, whose codes every send may fail with. Without a member
 * `caller` is `unknown`, `meta` an object, and no behavior adds a code.
 *
 * @example
 * ```ts ignore
 * declare module "@catga/catga" {
 *   interface ProgramTypes {
 *     caller: { id: string; role: "buyer" | "admin" };
 *     meta: { role?: "admin" };
 *     behaviors: typeof behaviors;
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

/** The codes of the behaviors around the program's apps, as {@link ProgramTypes} has them; `never`: it has none. */
export type ProgramCode = BehaviorCodes<ProgramTypes>;

/** The codes of the behaviors in a type like {@link ProgramTypes}. */
export type BehaviorCodes<Types> = Types extends { behaviors: readonly (infer Given)[] } ? CodeOfBehavior<Given>
  : never;

/** The codes that a behavior fails with itself, by its type. */
export type CodeOfBehavior<B> = B extends { readonly "~fails"?: () => infer F extends string } ? F : never;

/** The codes that a behavior around an app may have: those that {@link ProgramTypes} has, or any. */
export type AppBehaviorCode = ProgramTypes extends { behaviors: unknown } ? ProgramCode : string;

/**
 * The header that carries the caller, as text of a payload. It goes on with what a handler sends. Whoever may send
 * requests to nodes over NATS may name any caller.
 */
export const CALLER_HEADER = "catga-caller";
