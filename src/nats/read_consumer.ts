/**
 * Makes the consumers with which streams are read: ordered, without acknowledgements, and deleted by the server when
 * they have no subscriber.
 */
import { token } from "../ports/clock.ts";
import type { OwnedStream } from "./owned_stream.ts";

/** Time without a subscriber after which the server deletes a consumer, in ms. */
const INACTIVE = 5_000;

/** A consumer that delivers nothing while it has no subscriber. */
export interface ReadConsumer {
  readonly name: string;
  /** Subject to which the consumer delivers. */
  readonly inbox: string;
  /** Number of messages that the consumer has to deliver from the start. */
  readonly expected: number;
}

/**
 * Makes a consumer that begins to deliver when it has a subscriber. `onNamed` is called with the consumer's name and
 * inbox before the request, because without an answer the consumer may exist nevertheless. A caller that subscribes to
 * the inbox in `onNamed`, not after the promise has resolved, gets the first messages a round trip earlier, perhaps
 * before the promise settles. Rejects like `JetStream.createConsumer`.
 */
export async function createConsumer(
  stream: OwnedStream,
  config: { readonly [setting: string]: unknown; readonly filter_subject?: string },
  limit: number,
  onNamed: (name: string, inbox: string) => void,
): Promise<ReadConsumer> {
  const { transport } = stream;
  const name = `catga_${token(transport.random, 16)}`;
  const inbox = transport.inbox();
  onNamed(name, inbox);
  const expected = await stream.js.createConsumer(stream.name, {
    ...config,
    name,
    deliver_subject: inbox,
    ack_policy: "none",
    replay_policy: "instant",
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
    flow_control: true,
    idle_heartbeat: stream.heartbeat * 1_000_000,
    inactive_threshold: INACTIVE * 1_000_000,
  }, limit);
  return { name, inbox, expected };
}
