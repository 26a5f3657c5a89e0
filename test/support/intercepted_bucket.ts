/** Buckets whose calls a test makes later, or not, or notes. */
import type { Bucket } from "../../src/ports/key_value_store.ts";

/** A method of a bucket, its arguments, and what makes the call. */
export type MakeCall = (method: keyof Bucket, args: readonly unknown[], make: () => Promise<unknown>) => unknown;

/** Wraps a bucket: `call` is called in place of each of its methods, and settles as the caller is to see it. */
export function interceptedBucket(bucket: Bucket, call: MakeCall): Bucket {
  return new Proxy(bucket, {
    get(target, method: keyof Bucket) {
      const member = target[method];
      if (typeof member !== "function") return member;
      return (...args: unknown[]) =>
        // cast: the proxy hands on the method's own arguments
        call(method, args, () => (member as (...args: unknown[]) => Promise<unknown>).apply(target, args));
    },
  });
}
