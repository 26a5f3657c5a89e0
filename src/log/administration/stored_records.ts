/** The records of all subscriptions. */
import type { Bucket } from "../../ports/key_value_store.ts";
import { readSubscriptionKey } from "../format/names.ts";
import { readSubscriptionRecord, type SubscriptionRecord } from "../format/subscription_record.ts";

/** A record, and where it stands. */
export interface StoredRecord {
  readonly key: string;
  readonly record: SubscriptionRecord;
  readonly revision: number;
}

/** The records of a bucket, sorted by service and name. Those that cannot be read are left out. */
export async function storedRecords(bucket: Bucket | undefined): Promise<StoredRecord[]> {
  const entries = await bucket?.entries("") ?? [];
  const records: StoredRecord[] = [];
  for (const { key, value, revision } of entries) {
    const place = readSubscriptionKey(key);
    const record = place && readSubscriptionRecord(place.service, place.name, value);
    if (record !== undefined && typeof record !== "string") records.push({ key, record, revision });
  }
  return records.sort(({ record: a }, { record: b }) => compare(a.service, b.service) || compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
