/** Under which key the claim and the result of an idempotent command stand: `<contract>-<shard>/<id>`. */
import { fnv1a } from "../../data/fnv1a.ts";

/** The key of an id. It is the same in every version of Catga that shares the bucket. */
export function claimKey(contract: string, id: string): string {
  const shard = (fnv1a(id) >>> 16) % SHARDS;
  return `${contract}-${shard.toString(16).padStart(2, "0")}/${id}`;
}

/** Into how many parts the ids of a contract are divided: a waiting attempt watches one part, not the whole bucket. */
const SHARDS = 64;
