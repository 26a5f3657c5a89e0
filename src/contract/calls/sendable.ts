/**
 * Types of values that can be sent, checked when a program is compiled; `data/value_text.ts` checks values when they
 * are sent.
 *
 * Each check asks the compiler once whether a type is assignable to its sendable version. The compiler caches the
 * answer, and assumes yes where a type refers to itself, so the check carries neither path nor depth. Only a type that
 * cannot be sent is searched for the paths of its unsendable parts.
 */

/**
 * The type of a contract's name. If the sender's type or the handler's return type cannot be sent, no name fits, and
 * the compiler says why:
 * `Argument of type '"Pay"' is not assignable to parameter of type '"cannot be sent: payload.account.close"'`.
 */
export type SendableName<In, Returned = void> = { in: In; out: Returned } extends { in: PlainData; out: PlainData }
  ? string
  : [In, Returned] extends [Sendable<In>, Sendable<Returned>] ? string
  : `cannot be sent: ${Unsendable<In> | Unsendable<Returned, "result">}`;

/**
 * The type of a key of the cache. If the value's type cannot be sent, or may be `undefined`, no key fits, and the
 * compiler says why.
 */
export type CacheKey<T> = unknown extends T ? string
  : [T] extends [NonNullable<unknown> | null]
    ? [T] extends [Sendable<T>] ? string : `cannot be sent: ${Unsendable<T, "value">}`
  : "cannot be kept: value may be undefined; keep null instead";

/** The type of a failure's details. If the type cannot be sent, nothing fits, and the compiler says why. */
export type SendableDetails<T> = [T] extends [Sendable<T>] ? T : `cannot be sent: ${Unsendable<T, "details">}`;

/**
 * The paths of the parts of a type that cannot be sent: functions, constructors, symbols, errors and members with
 * symbol keys, and so promises, iterables and classes with methods; `never` if there are none. Of several paths, only
 * the paths nearest to the root. `any` and `unknown` are not checked. A member with a symbol key whose type is a
 * literal, or an object of literals, is a brand, which no value has.
 */
export type Unsendable<T, Path extends string = "payload"> = [T] extends [Sendable<T>] ? never
  : Search<TypePart<Path, T>, Path>;

/** `T` if it can be sent, else a type that `T` is not assignable to. */
export type Sendable<T> = unknown extends T ? unknown
  : T extends Leaf ? T
  : T extends NeverSendable ? never
  : T extends { forEach: unknown } ? SendableItems<T>
  // many objects have the members of an Error except `stack` and `cause`, so these are required, too
  : T extends Error ? Required<T> extends Required<Error> ? never : Members<T>
  : Members<T>;

/**
 * A value that is sent whole, without a look at its members.
 *
 * @internal
 */
type Leaf =
  | string
  | number
  | boolean
  | bigint
  | null
  | undefined
  | void
  | Date
  | ArrayBuffer
  | ArrayBufferView
  | Temporal;

/**
 * Values made of leaves, arrays and objects without a symbol as key: most schemas describe such values. The compiler
 * compares a type with this one without making a further type; {@link Sendable} makes one for each object. Interfaces
 * and classes, which have no index signature, are left to {@link Sendable}.
 *
 * @internal
 */
type PlainData = Leaf | readonly PlainData[] | { readonly [key: string]: PlainData; readonly [key: symbol]: never };

/**
 * A type of the global `Temporal`, recognized by its tag, because the types of older TypeScript lack `Temporal`.
 *
 * @internal
 */
interface Temporal {
  readonly [Symbol.toStringTag]:
    | "Temporal.Instant"
    | "Temporal.ZonedDateTime"
    | "Temporal.PlainDate"
    | "Temporal.PlainTime"
    | "Temporal.PlainDateTime"
    | "Temporal.PlainYearMonth"
    | "Temporal.PlainMonthDay"
    | "Temporal.Duration";
}

/**
 * Types that cannot be sent: functions and constructors, whatever their parameters, and symbols.
 *
 * @internal
 */
// deno-lint-ignore ban-types
type NeverSendable = symbol | Function;

/**
 * An array, a map or a set with items that can be sent.
 *
 * @internal
 */
type SendableItems<T> = T extends readonly (infer U)[] ? readonly Sendable<U>[]
  : T extends ReadonlyMap<infer K, infer V> ? Each<Sendable<V>, Sendable<K>>
  : T extends ReadonlySet<infer V> ? Each<Sendable<V>, unknown>
  : Members<T>;

/** The structure of a `Map` or `Set`, recognized by the parameters of its `forEach`. */
interface Each<V, K> {
  forEach(each: (value: V, key: K) => void): void;
}

/**
 * An object with members that can be sent.
 *
 * @internal
 */
type Members<T> = { [K in keyof T]: K extends symbol ? Brand<T[K]> : Sendable<T[K]> };

type Brand<T> = AreLiterals<T> extends true ? T
  : T extends NeverSendable ? never
  : T extends object ? { [K in keyof T]: AreLiterals<T[K]> extends true ? T[K] : never }
  : never;

type AreLiterals<T> = [T] extends [string | number | boolean | symbol | null | undefined]
  ? string extends T ? false : number extends T ? false : boolean extends T ? false : symbol extends T ? false : true
  : false;

/**
 * A part of a type, and its path from the payload.
 *
 * @internal
 */
interface TypePart<At extends string, T> {
  readonly at: At;
  readonly is: T;
}

/**
 * Searches types breadth first for unsendable parts: returns the paths of the parts that are refused themselves, else
 * searches their members. `Seen`: types whose members have been searched; `Depth`: ends the search in a type that has
 * no end.
 *
 * @internal
 */
type Search<P, Root extends string, Seen = never, Depth extends readonly 0[] = []> = Depth["length"] extends 16
  ? `${Root}, more than 16 levels deep`
  : [RefusedPaths<P>] extends [never]
    ? Search<Unsendables<MembersOf<P>, Seen | TypeOf<P>>, Root, Seen | TypeOf<P>, [...Depth, 0]>
  : RefusedPaths<P>;

type TypeOf<P> = P extends TypePart<string, infer T> ? T : never;

/** The paths of the parts that are unsendable themselves, not because of a member. */
type RefusedPaths<P> = P extends TypePart<infer At, infer T> ? RefusedPath<T, At> : never;
type RefusedPath<T, At extends string> = T extends unknown ? [Sendable<T>] extends [never] ? At : never : never;

/** The parts that cannot be sent, without parts whose members have already been searched. */
type Unsendables<P, Seen> = P extends TypePart<string, infer T> ? [T] extends [Sendable<T> | Seen] ? never : P : never;

type MembersOf<P> = P extends TypePart<infer At, infer T> ? MembersAt<T, At> : never;
type MembersAt<T, At extends string> = T extends Leaf ? never
  : T extends readonly (infer U)[] ? TypePart<`${At}[]`, U>
  : T extends ReadonlyMap<infer K, infer V> ? TypePart<`${At}.key`, K> | TypePart<`${At}.value`, V>
  : T extends ReadonlySet<infer V> ? TypePart<`${At}.item`, V>
  : {
    [K in keyof T]-?: K extends string | number ? TypePart<`${At}.${K}`, T[K]>
      : T[K] extends Brand<T[K]> ? never
      : TypePart<`${At}${SymbolKey<K>}`, symbol>;
  }[keyof T];

type SymbolKey<K> = K extends typeof Symbol.iterator ? "[Symbol.iterator]"
  : K extends typeof Symbol.asyncIterator ? "[Symbol.asyncIterator]"
  : K extends typeof Symbol.toStringTag ? "[Symbol.toStringTag]"
  : K extends typeof Symbol.dispose ? "[Symbol.dispose]"
  : K extends typeof Symbol.asyncDispose ? "[Symbol.asyncDispose]"
  : "[symbol]";
