/** The ports of a node around a codec. */
import { eventSubject, nodeSubject } from "../contract/subjects.ts";
import type { PayloadCodec } from "../contract/payload_codec.ts";
import type { EventLog } from "../ports/event_log.ts";
import type { KeyValueStore } from "../ports/key_value_store.ts";
import type { Transport } from "../ports/transport.ts";
import { SealedLog } from "./sealed_log.ts";
import { SealedStore } from "./sealed_store.ts";
import { SealedTransport } from "./sealed_transport.ts";
import { Sealing } from "./sealing.ts";

/** The ports that have payloads. */
export interface SealablePorts {
  close(): Promise<void>;
  readonly transport?: Transport;
  readonly store: KeyValueStore;
  log(): Promise<EventLog>;
}

/** Wraps the ports of a node so that payloads are sealed. `onError` gets messages that cannot be sealed or opened. */
export function sealed<L extends SealablePorts>(
  link: L,
  codec: PayloadCodec,
  { namespace, onError }: { readonly namespace: string; readonly onError: (error: unknown) => void },
): L {
  const { store } = link;
  const sealing = new Sealing(codec);
  // frames and events: what programs without Catga send and get, and what operators ask of nodes, has no codec
  const prefixes = [nodeSubject(namespace, "").slice(0, -1), eventSubject(namespace)];
  const seals = (subject: string) => prefixes.some((prefix) => subject.startsWith(prefix));
  const transport = link.transport && new SealedTransport(link.transport, sealing, seals, onError);
  let log: Promise<EventLog> | undefined;
  return {
    ...link,
    ...(transport === undefined ? {} : { transport }),
    store: new SealedStore(store, sealing, namespace),
    close: async () => {
      await transport?.sent;
      await link.close();
    },
    log: () => log ??= link.log().then((log) => new SealedLog(log, sealing)),
  };
}

/** A transport that opens the sealed messages that it receives, for tools: what it publishes is not sealed. */
export function openedTransport(
  transport: Transport,
  codec: PayloadCodec,
  onError: (error: unknown) => void,
): Transport {
  return new SealedTransport(transport, new Sealing(codec), () => false, onError);
}

/** The payloads of a log alone, for tools. */
export function sealedLog(log: EventLog, codec: PayloadCodec): EventLog {
  return new SealedLog(log, new Sealing(codec));
}
