/** The buckets of a namespace: their names, and the options that each is opened with. */
import type { BucketOptions } from "./key_value_store.ts";

/** A bucket of a namespace. */
export type BucketKind = "nodes" | "locks" | "idempotency" | "cache" | "snapshots";

/** The options of each kind, the same in every namespace; `replicas` is the app's. */
export const BUCKETS: Readonly<Record<BucketKind, Required<Pick<BucketOptions, "direct">>>> = {
  nodes: { direct: false },
  locks: { direct: false },
  idempotency: { direct: false },
  cache: { direct: true },
  // a snapshot says which message of the stream it was made at, and is compared with it
  snapshots: { direct: true },
};

/** The name of a bucket; its stream in NATS is `KV_<name>`. */
export function bucketName(namespace: string, kind: BucketKind): string {
  return `catga_${namespace}_${kind}`;
}
