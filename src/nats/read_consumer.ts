/** The consumers with which streams are read: ordered, without acknowledgements, ended by the server when nobody subscribes. */
import { token } from "../ports/clock.ts";
import type { KeptStream } from "./kept_stream.ts";

/** After this time without a subscriber the server deletes the consumer, in ms. */
const INACTIVE = 5_000;

/** A consumer that waits for a subscriber. */
export interface ReadConsumer {
  readonly name: string;
  /** The subject to which it delivers. */
  readonly inbox: string;
  /** How many messages there are for it. */
  readonly expected: number;
}

/**
 * Makes a consumer of the subjects that match `filters`, from a sequence on. `onNamed` gets its name before it is made: without an answer
 * it may exist nevertheless. Rejects as `KeptStream.attempt`.
 */
export async function makeConsumer(
  stream: KeptStream,
  { filters, start }: { readonly filters: readonly string[]; readonly start: number },
  onNamed: (name: string) => void,
): Promise<ReadConsumer> {
  const { transport } = stream;
  const name = `catga_${token(transport.random, 16)}`;
  // a user's permissions may allow subjects below this prefix only; the type of a connection does not have it
  const prefix = (transport.connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
  const inbox = transport.driver.createInbox(prefix);
  onNamed(name);
  const expected = await stream.attempt((limit) =>
    stream.js.createConsumer(stream.name, {
      name,
      ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
      deliver_subject: inbox,
      deliver_policy: "by_start_sequence",
      opt_start_seq: start,
      ack_policy: "none",
      replay_policy: "instant",
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
      flow_control: true,
      idle_heartbeat: stream.heartbeat * 1_000_000,
      inactive_threshold: INACTIVE * 1_000_000,
    }, limit), { idempotent: true });
  return { name, inbox, expected };
}
