/** The buckets of a namespace: what they are called, and how each is opened. */
import type { BucketOptions } from "./key_value_store.ts";

/** A bucket of a namespace. */
export type BucketKind = "nodes" | "locks" | "idempotency" | "cache";

/** What holds for one kind, whatever the namespace is; the rest is `replicas`. */
export const BUCKETS: Readonly<Record<BucketKind, Required<Pick<BucketOptions, "direct">>>> = {
  nodes: { direct: false },
  locks: { direct: false },
  idempotency: { direct: false },
  cache: { direct: true },
};

/** The name of a bucket; its stream in NATS is `KV_<name>`. */
export function bucketName(namespace: string, kind: BucketKind): string {
  return `catga_${namespace}_${kind}`;
}
