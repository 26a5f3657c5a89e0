/**
 * Types that a program tells Catga: of a message's caller, of contracts' metadata, and of the app's behaviors. A
 * program declares them once, by adding members to the interface {@link ProgramTypes}.
 */

/**
 * Types of the program. `caller`: the type of `ctx.caller`; `meta`: the type of the option `meta` of contracts;
 * `behaviors`: the type of the array that the program passes to `catga({ behaviors })`; every send may fail with the
 * codes of these behaviors. A member that is not added has a default: `caller` is `unknown`, `meta` an object, and no
 * behavior adds a code.
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

/**
 * The failure codes of the {@link Behavior}s that {@link ProgramTypes} declares for the program's apps; `never`: none
 * are declared.
 */
export type ProgramCode = BehaviorCodes<ProgramTypes>;

/** The failure codes of the behaviors that the member `behaviors` of `Types` lists; `never` without this member. */
export type BehaviorCodes<Types> = Types extends { behaviors: readonly (infer Given)[] } ? CodeOfBehavior<Given>
  : never;

/** The codes that a behavior itself fails with, by its type. */
export type CodeOfBehavior<B> = B extends { readonly "~fails"?: () => infer F extends string } ? F : never;

/**
 * The failure codes that a behavior in the option `behaviors` of `catga()` may have: the codes that
 * {@link ProgramTypes} declares, or any code if it declares none.
 */
export type AppBehaviorCode = ProgramTypes extends { behaviors: unknown } ? ProgramCode : string;
