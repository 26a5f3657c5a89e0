/** What can be sent, checked when a program is compiled. `data/value_text.ts` checks values when they are sent. */

/**
 * The paths in a type of what cannot be sent: functions, symbols, and so promises and classes with methods; `never` if there is
 * nothing. `any`, `unknown`, and what lies deeper than eight levels, is not looked at.
 */
export type Unsendable<T, Path extends string = "payload", Depth extends readonly 0[] = []> = Depth["length"] extends 8
  ? never
  : 0 extends 1 & T ? never
  : unknown extends T ? never
  : T extends string | number | boolean | bigint | null | undefined | void | Date | ArrayBuffer | ArrayBufferView
    ? never
  : T extends symbol | ((...args: never) => unknown) ? Path
  : T extends ReadonlyMap<infer K, infer V>
    ? Unsendable<K, `${Path}.key`, [...Depth, 0]> | Unsendable<V, `${Path}.value`, [...Depth, 0]>
  : T extends ReadonlySet<infer V> ? Unsendable<V, `${Path}.item`, [...Depth, 0]>
  : T extends readonly (infer U)[] ? Unsendable<U, `${Path}[]`, [...Depth, 0]>
  // the members of an Error are those of many objects, but for `stack` and `cause`
  : T extends object ? Required<T> extends Required<Error> ? Path
    : {
      [K in keyof T]-?: K extends string | number ? Unsendable<T[K], `${Path}.${K}`, [...Depth, 0]> : never;
    }[keyof T]
  : never;

/**
 * The type of a contract's name. When what a sender gives, or what the handler returns, cannot be sent, no name fits, and the
 * compiler says why: `Argument of type '"Pay"' is not assignable to parameter of type '"cannot be sent: payload.account.close"'`.
 */
export type SendableName<In, Returned = void> = [Unsendable<In> | Unsendable<Returned, "result">] extends [never]
  ? string
  : `cannot be sent: ${Unsendable<In> | Unsendable<Returned, "result">}`;
