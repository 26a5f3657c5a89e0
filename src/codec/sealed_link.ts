/**
 * Wraps the ports of a node (its interfaces to network and store) so that a codec encodes ("seals") the payloads that
 * go out, and decodes ("opens") the payloads that come in.
 * @decides which subjects and streams are sealed, and which plain NATS clients can still use
 */
import { eventSubject, nodeSubject } from "../contract/nodes/subjects.ts";
import type { PayloadCodec } from "../contract/declaration/payload_codec.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import type { Clock } from "../ports/clock.ts";
import type { Transport } from "../ports/transport.ts";
import { SealedLog } from "./sealed_log.ts";
import { SealedStore } from "./sealed_store.ts";
import { SealedTransport } from "./sealed_transport.ts";
import { type CodecLimit, Sealing } from "./sealing.ts";

/** The ports of a node (its interfaces to network and store) that carry payloads. */
export interface SealablePorts {
  close(): Promise<void>;
  readonly transport?: Transport;
  readonly store: KeyValueStore;
  log(): Promise<EventLog>;
}

/**
 * Wraps the ports of a node so that a codec encodes and decodes payloads: of frames, events, messages of the log, and
 * entries of the buckets that `sealed_store.ts` names. `onError`: called for messages that cannot be encoded or
 * decoded.
 */
export function sealed<L extends SealablePorts>(
  link: L,
  codec: PayloadCodec,
  { namespace, onError, ...limit }: CodecLimit & {
    readonly namespace: string;
    readonly onError: (error: unknown) => void;
  },
): L {
  const { store } = link;
  const sealing = new Sealing(codec, limit);
  // only frames (messages between nodes) and events are encoded: programs without Catga, and operators' requests to
  // nodes, have no codec
  const prefixes = [nodeSubject(namespace, "").slice(0, -1), eventSubject(namespace)];
  const seals = (subject: string) => prefixes.some((prefix) => subject.startsWith(prefix));
  const transport = link.transport && new SealedTransport(link.transport, sealing, seals, onError);
  let log: Promise<EventLog> | undefined;
  return {
    ...link,
    ...(transport === undefined ? {} : { transport }),
    store: new SealedStore(store, sealing, namespace),
    close: async () => {
      // this ends, at the latest, when the calls of the codec time out
      await transport?.sent;
      await link.close();
    },
    log: () => log ??= link.log().then((log) => new SealedLog(log, sealing)),
  };
}

/**
 * Wraps a transport, for tools: encoded messages that arrive are decoded, but messages that the tool publishes are not
 * encoded.
 */
export function openedTransport(
  transport: Transport,
  codec: PayloadCodec,
  onError: (error: unknown) => void,
): Transport {
  return new SealedTransport(transport, toolSealing(codec, transport.clock), () => false, onError);
}

/** Wraps a log, for tools: a codec encodes the payloads that are written, and decodes the payloads that are read. */
export function sealedLog(log: EventLog, codec: PayloadCodec, clock: Clock): EventLog {
  return new SealedLog(log, toolSealing(codec, clock));
}

function toolSealing(codec: PayloadCodec, clock: Clock): Sealing {
  return new Sealing(codec, { clock, timeout: TOOL_TIMEOUT });
}

/** Time in ms after which a call of the codec counts as failed in a tool. */
const TOOL_TIMEOUT = 30_000;
