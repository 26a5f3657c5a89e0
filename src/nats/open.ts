/** Both ports on one NATS connection. */
import type { ConnectionOptions as NatsOptions, NatsConnection as Connection } from "@nats-io/nats-core";
import type { Violation } from "../ports/transport.ts";
import type { NatsAddress } from "./connection.ts";
import { type DriverName, loadDriver } from "./driver.ts";
import type { NatsKeyValueStore } from "./key_value_store.ts";
import type { NatsTransport } from "./transport.ts";

/** Options of a NATS connection, as nats.js has them: what may be given to `catga` as `nats`. */
export type ConnectionOptions = NatsOptions;
/** An open connection of nats.js: what may be given to `catga` as `nats`, and is then never closed by it. */
export type NatsConnection = Connection;

/** Options of {@link openNats}. */
export interface OpenNatsOptions {
  /** The name that the server shows for this connection. */
  name: string;
  /** Which client of nats.js; that of the runtime. */
  transport: DriverName | undefined;
  /** Gets what callbacks of subscriptions throw, and errors that the server reports. */
  onError: (error: unknown) => void;
  /** Gets what the server does not let this user do. */
  onForbidden: (violation: Violation) => void;
  /** Told of what is mended by itself. */
  onNotice: (notice: string) => void;
  /** Whether the store is only to be looked at, but for what is asked for; `false`. */
  looksOn?: boolean;
}

/** Opens a connection, or takes an open one; errors as `connectNats`. */
export async function openNats(
  nats: NatsAddress,
  options: OpenNatsOptions,
): Promise<{ transport: NatsTransport; store: NatsKeyValueStore }> {
  const { name, onError, onForbidden, onNotice, looksOn = false } = options;
  // nothing takes as long as the client of nats.js: ours load beside it, and connectNats waits for it, or has its error
  loadDriver(options.transport, (nats as NatsOptions | null)?.tls).catch(() => {});
  const [{ connectNats }, { NatsTransport }, { NatsKeyValueStore }] = await Promise.all([
    import("./connection.ts"),
    import("./transport.ts"),
    import("./key_value_store.ts"),
  ]);
  const link = await connectNats(nats, {
    name,
    ...(options.transport === undefined ? {} : { transport: options.transport }),
  });
  const transport = new NatsTransport(link, { onError, onForbidden });
  return { transport, store: new NatsKeyValueStore(transport, { onNotice, looksOn }) };
}
